"""Stop a run cleanly when the scheduler preempts it."""

import logging
import signal
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint

from fovea.engine.callbacks.last import Last
from fovea.engine.lightning_private import validation_follows
from fovea.runtime.bounds import Count
from fovea.runtime.record import write_failure

log = logging.getLogger(__name__)
UNCAUGHT = (signal.SIGKILL, signal.SIGSTOP)


class Preemption(Checkpoint):
    """On one of `signals` (names without SIG), save `last.ckpt` at the end of the step, then re-raise the signal.

    The previous handler is submitit's, which requeues the job, or the system's, which ends the process. A run that
    stopped right at the signal could not resume exactly: a step would be half done, or a file half written. If a
    validation or the end of an epoch follows the step, it comes first, as in `Last`. Several processes get the signal
    at different times, or not at all: every `agree_every_n_steps` steps they ask one another, and save together; all
    but the first then exit, since one of them requeues the job. One process on its own looks after each step.

    A `Checkpoint` runs after all other callbacks. In the configuration this one must come after `Last`.
    """

    def __init__(self, signals: Sequence[str], agree_every_n_steps: Count) -> None:
        known = {name: each for name, each in signal.Signals.__members__.items() if each not in UNCAUGHT}
        if unknown := [name for name in signals if f"SIG{name}" not in known]:
            raise ValueError(f"signals: no process can catch a signal {unknown[0]}; write [USR2] or [USR2, TERM]")
        self.signals = [known[f"SIG{name}"] for name in signals]
        self.every = agree_every_n_steps
        self.received = 0  # number of the signal that this process got
        self.agreed = 0  # number of the signal that all processes agreed on and saved for
        self.handlers: dict[int, Any] = {}  # the previous ones
        self.step = 0
        self.stepped = False  # whether the last batch ended a step: gradients may be accumulated over several

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Install the handlers before the loaders start processes, which inherit them."""
        self.received, self.agreed, self.step, self.stepped = 0, 0, trainer.global_step, False
        self.handlers = {number: signal.signal(number, self._receive) for number in self.signals}

    def on_train_batch_start(self, trainer: pl.Trainer, *args: Any) -> None:
        """Stop a saved run; only now has Lightning logged the previous step."""
        if self.agreed:
            self._re_raise(self.agreed)
            if not trainer.is_global_zero and not trainer.received_sigterm:
                raise SystemExit(0)  # otherwise it would wait for the first process, which has exited

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        """Save after a signal, unless a validation or the end of an epoch follows."""
        self.stepped, self.step = trainer.global_step > self.step, trainer.global_step
        if not (validation_follows(trainer) or trainer.is_last_batch):
            self._save_after_signal(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save after a signal that came before the validation or during it."""
        if not trainer.is_last_batch:
            self._save_after_signal(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save after a signal that came in the last step of an epoch."""
        self._save_after_signal(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Re-raise a signal that came in the last step, and restore the handlers."""
        self._re_raise(self.agreed or self.received)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = number

    def _save_after_signal(self, trainer: pl.Trainer) -> None:
        if not self.stepped or not (number := self._agree(trainer)):
            return
        for last in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(last, Last):
                last.save(trainer)
        name, step = signal.Signals(number).name, trainer.global_step
        log.info("%s: saved at step %d", name, step)
        # The signal may end the process without an exception.
        write_failure(Path(trainer.default_root_dir), "interrupted", f"{name}: saved at step {step}")
        self.received, self.agreed = 0, number

    def _re_raise(self, number: int) -> None:
        """Restore the handlers and re-raise this signal (0: none).

        SLURM sends SIGTERM to all processes of a requeued job. Ignore it here: Lightning would broadcast it to ranks
        that have already exited, and turn a clean shutdown into an error.
        """
        self.agreed = 0
        for installed, handler in self.handlers.items():
            signal.signal(installed, handler or signal.SIG_DFL)  # None: set by a library in C
        self.handlers = {}
        if number == signal.SIGTERM:
            signal.raise_signal(number)
        elif number:
            before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.raise_signal(number)
            signal.signal(signal.SIGTERM, before)

    def _agree(self, trainer: pl.Trainer) -> int:
        """Return the number of the signal that any process got, 0 for none."""
        if trainer.world_size == 1:
            return self.received
        if trainer.global_step % self.every:
            return 0
        mine = torch.tensor(self.received, device=trainer.strategy.root_device)
        return int(trainer.strategy.reduce(mine, reduce_op="max"))
