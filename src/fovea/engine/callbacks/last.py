"""The checkpoint that a run resumes from."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint

from fovea.engine.lightning_private import validation_follows
from fovea.runtime.bounds import Count


class Last(Checkpoint):
    """Write `last.ckpt` into `dirpath` every `every_n_train_steps` steps of the optimizer, and after the last one.

    If a validation or the end of an epoch follows the step, the checkpoint is written after it. A run that resumes
    there has the score and the best checkpoint of that step, and what early stopping counted, whenever it was killed.
    The logs up to that step are flushed to disk with it.
    """

    def __init__(self, dirpath: str, every_n_train_steps: Count) -> None:
        self.path = Path(dirpath) / "last.ckpt"
        self.every = every_n_train_steps
        self.saved = 0  # the last saved step
        self.unflushed = False

    def on_train_batch_start(self, trainer: pl.Trainer, *args: Any) -> None:
        """Flush the log of the saved step, which Lightning writes after saving."""
        if self.unflushed:
            self.unflushed = False
            flush(trainer)

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        """Save, unless a validation or the end of an epoch follows."""
        if not (validation_follows(trainer) or trainer.is_last_batch):
            self._save_if_due(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save a step whose checkpoint waited for the validation."""
        if not (trainer.sanity_checking or trainer.is_last_batch):
            self._save_if_due(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save the last step of an epoch, after the callbacks that look at a score once an epoch.

        Also that of a training that stops before its last step: at its end, averaged weights replace the current ones.
        """
        if trainer.should_stop:
            self.save(trainer)
        self._save_if_due(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save a training that ended before its last step in another way."""
        self.save(trainer)

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Do not save the loaded step again."""
        self.saved = int(checkpoint["global_step"])

    def save(self, trainer: pl.Trainer) -> None:
        """Save, unless this step is saved already."""
        if trainer.global_step > self.saved:
            flush(trainer)
            self.saved, self.unflushed = trainer.global_step, True
            trainer.save_checkpoint(self.path, weights_only=False)  # with the optimizer

    def _save_if_due(self, trainer: pl.Trainer) -> None:
        step = trainer.global_step  # constant while gradients are accumulated
        if step % self.every == 0 or step == trainer.estimated_stepping_batches:
            self.save(trainer)


def flush(trainer: pl.Trainer) -> None:
    """Make the loggers write what they hold in memory."""
    for logger in trainer.loggers:
        logger.save()
