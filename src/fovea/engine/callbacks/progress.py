"""The progress bar of a training."""

import sys
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ProgressBar
from tqdm import tqdm

from fovea.runtime.bounds import Count


class Progress(ProgressBar):
    """One bar over all steps of the optimizer, with the loss and the last score; it also says when it validates.

    It is updated every `refresh_rate` steps. Lightning's own bar starts again at each epoch.
    """

    def __init__(self, refresh_rate: Count) -> None:
        super().__init__()
        self.refresh_rate = refresh_rate
        self.enabled = True
        self.bar: tqdm[Any] | None = None

    def disable(self) -> None:
        """Show nothing; Lightning calls it on all processes but the first."""
        self.enabled = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the bar at the step from which the training starts or resumes."""
        if self.enabled:
            total = int(trainer.estimated_stepping_batches)
            self.bar = tqdm(total=total, initial=trainer.global_step, desc="train", unit="step", file=sys.stderr)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any) -> None:
        """Move the bar."""
        step = trainer.global_step
        if self.bar is not None and step > self.bar.n and (step % self.refresh_rate == 0 or step == self.bar.total):
            self._show(trainer, pl_module, "train")
            self.bar.update(step - self.bar.n)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say that a validation runs."""
        self._show(trainer, pl_module, "validate")

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the score, and that the training continues."""
        self._show(trainer, pl_module, "train")

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Close the bar."""
        if self.bar is not None:
            self.bar.close()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Close the bar, or the error would stand behind it."""
        self.teardown(trainer, pl_module, "fit")

    def _show(self, trainer: pl.Trainer, pl_module: pl.LightningModule, what: str) -> None:
        if self.bar is not None:
            self.bar.set_description(what, refresh=False)
            self.bar.set_postfix(
                {name: v for name, v in self.get_metrics(trainer, pl_module).items() if name != "v_num"}
            )
