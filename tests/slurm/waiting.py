"""A training that waits in its middle for the scheduler, so that nothing depends on which of the two is faster."""

import os
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from fovea.engine.callbacks.preemption import Preemption
from fovea.runtime.processes import first, restarted


class Waiting(pl.Callback):
    """In a SLURM job that was not started before, the first process waits within a step until it has had the signal.

    The file `waiting` in the run folder says that it does.

    Args:
        after: Steps before that one.
    """

    def __init__(self, after: int) -> None:
        self.after = after

    def on_train_batch_start(self, trainer: pl.Trainer, *args: Any) -> None:
        if trainer.global_step != self.after or "SLURM_JOB_ID" not in os.environ or restarted() or not first():
            return
        Path(trainer.default_root_dir, "waiting").touch()
        (preemption,) = [each for each in trainer.callbacks if isinstance(each, Preemption)]
        while not preemption.received:
            time.sleep(0.05)
