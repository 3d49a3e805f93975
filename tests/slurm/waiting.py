"""A callback that waits for the scheduler, so that no test depends on which of the two is faster."""

import os
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from fovea.engine.callbacks.preemption import Preemption
from fovea.runtime.processes import first, restarted


class Waiting(pl.Callback):
    """Wait within a step for the signal, in the first process of a SLURM job that was not restarted.

    The file `waiting` in the run folder shows that it waits.

    Args:
        after: Number of steps before that one.
    """

    def __init__(self, after: int) -> None:
        self.after = after

    def on_train_batch_start(self, trainer: pl.Trainer, *args: Any) -> None:
        if trainer.global_step != self.after or "SLURM_JOB_ID" not in os.environ or restarted() or not first():
            return
        Path(trainer.default_root_dir, "waiting").touch()
        (preemption,) = [callback for callback in trainer.callbacks if isinstance(callback, Preemption)]
        while not preemption.received:
            time.sleep(0.05)
