"""Stopping a run in order, when the scheduler asks for its place."""

import logging
import signal
from collections.abc import Sequence
from types import FrameType
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint

from fovea.engine.callbacks.last import Last, validation_follows

log = logging.getLogger(__name__)


class Preemption(Checkpoint):
    """On a signal, saves `last.ckpt` at the end of the step; before the next, whoever had the signal may act on it.

    That is submitit, which requeues the job, or else the system, which ends the process. Stopped right where the
    signal finds it, a run could not go on exactly: a step would be half done, or a file half written. Where a
    validation follows the step, it comes first, as in `Last`. Of several processes each gets the signal at another
    time, if at all: they agree, save together, and those after the first only end, since one of them is to requeue.

    Being a `Checkpoint`, it comes after the other callbacks; in the configuration it must stand after `Last`.

    Args:
        signals: Names without SIG.
        agree_every_n_steps: Steps of the optimiser between two questions among several processes, which all of them
            stop for; a process on its own looks after each.

    Raises:
        ValueError: there is no such signal, or the number is none from 1 on.
    """

    def __init__(self, signals: Sequence[str], agree_every_n_steps: int) -> None:
        known = signal.Signals.__members__
        if unknown := [name for name in signals if f"SIG{name}" not in known]:
            raise ValueError(
                f"callbacks.preemption.signals: no signal is called {unknown[0]}; say [USR2] or [USR2, TERM]"
            )
        if agree_every_n_steps < 1:
            raise ValueError(f"callbacks.preemption.agree_every_n_steps={agree_every_n_steps}: give 1 or more")
        self.signals = [known[f"SIG{name}"] for name in signals]
        self.every = agree_every_n_steps
        self.received = 0  # number of the signal that this process got
        self.asked = 0  # number of the signal that all agreed on, and saved for
        self.before: dict[int, Any] = {}  # who had them
        self.step = 0
        self.stepped = False  # whether the last batch ended a step: gradients may be accumulated over several

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take over the signals; before the loaders start processes, which inherit what is done about them."""
        self.received, self.asked, self.step, self.stepped = 0, 0, trainer.global_step, False
        self.before = {each: signal.signal(each, self._receive) for each in self.signals}

    def on_train_batch_start(self, trainer: pl.Trainer, *args: Any) -> None:
        """Stop a run that is saved; only now has Lightning logged the step before."""
        if self.asked:
            self._pass_on(self.asked)
            if not trainer.is_global_zero and not trainer.received_sigterm:
                raise SystemExit(0)  # else it would wait for the first process, which is gone

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        """Save if asked to, unless a validation follows."""
        self.stepped, self.step = trainer.global_step > self.step, trainer.global_step
        if not validation_follows(trainer):
            self._save_if_asked(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save if asked to before the validation or within it."""
        self._save_if_asked(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Pass on what came in the last step, and give the signals back."""
        self._pass_on(self.asked or self.received)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = number

    def _save_if_asked(self, trainer: pl.Trainer) -> None:
        if not self.stepped or not (number := self._agreed(trainer)):
            return
        for last in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(last, Last):
                last.save(trainer)
        log.info("%s: saved at step %d", signal.Signals(number).name, trainer.global_step)
        self.received, self.asked = 0, number

    def _pass_on(self, number: int) -> None:
        """Give the signals back, and let whoever had this one (0 is none) act on it.

        SLURM answers a requeued job with SIGTERM to all its processes. Lightning would tell the other processes of it,
        who are gone, and the end in order would become an error: so nobody hears it, unless the run goes on after all.
        """
        self.asked = 0
        for each, handler in self.before.items():
            signal.signal(each, handler or signal.SIG_DFL)  # None is some library's own
        self.before = {}
        if number == signal.SIGTERM:
            signal.raise_signal(number)
        elif number:
            before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.raise_signal(number)
            signal.signal(signal.SIGTERM, before)

    def _agreed(self, trainer: pl.Trainer) -> int:
        """The number of the signal that any process got, 0 for none."""
        if trainer.world_size == 1:
            return self.received
        if trainer.global_step % self.every:
            return 0
        mine = torch.tensor(self.received, device=trainer.strategy.root_device)
        return int(trainer.strategy.reduce(mine, reduce_op="max"))
