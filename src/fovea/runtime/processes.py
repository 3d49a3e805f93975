"""The processes of one training: the others join the job of the first, and leave nothing for the next job."""

import atexit
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CONFIG = "FOVEA_CONFIG"
"""Names the resolved configuration that a process started by another takes, instead of composing one."""

OTHERS = 10
"""Seconds that a process which failed leaves the others of its job, before SLURM ends them, to say why they did."""

RANKS = ("RANK", "SLURM_PROCID", "NODE_RANK", "LOCAL_RANK")
"""Where launchers put the number of a process, from 0; the first of a job has 0 in all that are set."""


def first() -> bool:
    """Whether this is the first process of its job: the one that writes what all of them would write."""
    return all(os.environ.get(name, "0") == "0" for name in RANKS)


def restarted() -> bool:
    """Whether this is a job that SLURM started before: preempted, out of time, or requeued by hand."""
    return os.environ.get("SLURM_RESTART_COUNT", "0") != "0"


def end_as_failed() -> None:
    """Have SLURM see this job of a sweep as failed, once its error is on its way to the command that waits for it.

    submitit writes down how a job ended and then ends well, whatever that was. To the programs of SLURM, and those it
    writes to, the job would be a success.
    """
    if os.environ.get("SUBMITIT_EXECUTOR") == "slurm":
        atexit.register(_end_as_failed)


def _end_as_failed() -> None:
    if os.environ.get("SLURM_NTASKS", "1") != "1":
        time.sleep(OTHERS)
    os._exit(1)


def leave_signals_alone(worker: int) -> None:
    """For a process that loads data: it would take a signal that the scheduler sends to all as its own end."""
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)


def joined() -> Path | None:
    """The configuration of the job that this process was started for, by the first process of that job."""
    return Path(os.environ[CONFIG]) if CONFIG in os.environ else None


@contextmanager
def one_job(run: Path) -> Iterator[None]:
    """While a Trainer works: whatever processes it starts take the configuration of this run folder.

    Composed from the command line, they would get a folder of their own, and in a multirun sweep it all over again.
    Afterwards the process group is closed and the environment is as before, or the next job of a sweep would take
    itself for a process of this one.
    """
    before = dict(os.environ)
    os.environ.setdefault(CONFIG, str(run.resolve() / "config.yaml"))
    try:
        yield
    finally:
        import torch.distributed as dist

        if dist.is_available() and dist.is_initialized():
            dist.destroy_process_group()
        os.environ.clear()
        os.environ.update(before)
