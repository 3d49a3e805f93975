"""Ownership of trials by file lock, so that any machine can tell whether a trial's process still lives.

Optuna's heartbeat works with databases only and repeats a trial under a new number, without its run folder.
"""

import fcntl
import os
import socket
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna

OWNER = "fovea:owner:"  # with the number of a trial, the attribute of the study that names the lock of its process


@contextmanager
def locked(folder: Path) -> Iterator[str]:
    """Give the path of a file that this process keeps locked; a kill releases the lock, also on shared file systems."""
    prefix = f".{socket.gethostname()}-{os.getpid()}-"
    handle, name = tempfile.mkstemp(prefix=prefix, suffix=".lock", dir=folder.resolve())
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield name
    finally:
        Path(name).unlink(missing_ok=True)
        os.close(handle)


def own(study: optuna.Study, trial: int, lock: str) -> None:
    """Record the lock of the process that runs a trial."""
    study.set_user_attr(f"{OWNER}{trial}", lock)


def claim(study: optuna.Study, trials: Iterable[int], lock: str) -> Iterator[int]:
    """Take over those of the running trials whose process was killed."""
    for trial in trials:
        other = Path(study.user_attrs[f"{OWNER}{trial}"])
        if str(other) != lock and _claim(study, trial, other, lock):
            yield trial


def _claim(study: optuna.Study, trial: int, other: Path, lock: str) -> bool:
    """Take a trial over; of several processes that try, the lock lets one at a time look who owns it."""
    # The folder of the sweep may have been moved or removed, or have another path on another machine.
    there = other if other.parent.is_dir() else Path(lock).with_name(other.name)
    with there.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        if study.user_attrs[f"{OWNER}{trial}"] != str(other):
            return False
        own(study, trial, lock)
        there.unlink(missing_ok=True)
        return True
