"""The checkpoint that a run goes on from."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint


class Last(Checkpoint):
    """Keeps `last.ckpt`: every few steps of the optimiser, and after the last one.

    Where a validation follows the step, it is written after that: a run that goes on from there has the score, and
    the best checkpoint that came of it, whenever it was killed. What was logged until then is flushed to disk with it.

    Args:
        dirpath: Folder of the checkpoint.
        every_n_train_steps: Steps of the optimiser between two of them.
    """

    def __init__(self, dirpath: str, every_n_train_steps: int) -> None:
        self.path = Path(dirpath) / "last.ckpt"
        self.every = every_n_train_steps
        self.saved = 0  # the step that was saved last
        self.unflushed = False

    def on_train_batch_start(self, trainer: pl.Trainer, *args: Any) -> None:
        """Flush what Lightning logged of the step that was saved, which it does after saving."""
        if self.unflushed:
            self.unflushed = False
            flush(trainer)

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        """Save, unless a validation follows."""
        if not validation_follows(trainer):
            self._save_if_due(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save what was left to be saved after the validation."""
        if not trainer.sanity_checking:
            self._save_if_due(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save a training that ended before its last step, say for lack of progress."""
        self.save(trainer)

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """What was loaded need not be saved."""
        self.saved = int(checkpoint["global_step"])

    def save(self, trainer: pl.Trainer) -> None:
        """Save, unless this step is saved already."""
        if trainer.global_step > self.saved:
            flush(trainer)
            self.saved, self.unflushed = trainer.global_step, True
            trainer.save_checkpoint(self.path, weights_only=False)  # with the optimiser

    def _save_if_due(self, trainer: pl.Trainer) -> None:
        step = trainer.global_step  # stays the same while gradients are accumulated
        if step % self.every == 0 or step == trainer.estimated_stepping_batches:
            self.save(trainer)


def flush(trainer: pl.Trainer) -> None:
    """Have the loggers write what they keep in memory."""
    for logger in trainer.loggers:
        logger.save()


def validation_follows(trainer: pl.Trainer) -> bool:
    """Whether this step is one that Lightning validates after; it keeps the rule to itself."""
    loop = trainer.fit_loop.epoch_loop
    fetcher = trainer.fit_loop._data_fetcher
    return fetcher is not None and trainer.enable_validation and loop._should_check_val_fx(fetcher)
