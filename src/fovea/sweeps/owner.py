"""Who makes a trial, and whether that process still lives, on whatever machine."""

import fcntl
import os
import socket
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

import optuna
from optuna.trial import FrozenTrial, Trial

OWNER = "fovea:owner"
"""The attribute of a trial that names its owner."""


class Owner:
    """This process, as the trials that it makes name it: a file that stays locked for as long as the process lives.

    The lock of a process that is killed is gone at once, also on a shared file system; a time stamp would have to be
    renewed during a training of days.
    """

    def __init__(self, folder: Path) -> None:
        prefix = f".{socket.gethostname()}-{os.getpid()}-"
        self.handle, name = tempfile.mkstemp(prefix=prefix, suffix=".lock", dir=folder.resolve())
        self.name = str(name)

    def __enter__(self) -> "Owner":
        fcntl.flock(self.handle, fcntl.LOCK_EX)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        Path(self.name).unlink(missing_ok=True)
        os.close(self.handle)

    def claimed(self, study: optuna.Study, running: Sequence[FrozenTrial]) -> Iterator[FrozenTrial]:
        """Those of the running trials whose owners live no more; from now on they are this process's."""
        for trial in running:
            name = trial.user_attrs[OWNER]
            if name != self.name and self._claims(study, trial, Path(name)):
                yield trial

    def _claims(self, study: optuna.Study, trial: FrozenTrial, owner: Path) -> bool:
        """Take a trial over. Of two processes that try, the lock lets one at a time look who owns it."""
        owner.parent.mkdir(parents=True, exist_ok=True)  # its folder may have been removed
        with owner.open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            now = next(each for each in study.get_trials(deepcopy=False) if each.number == trial.number)
            if now.user_attrs[OWNER] != str(owner):
                return False
            Trial(study, trial._trial_id).set_user_attr(OWNER, self.name)
            owner.unlink(missing_ok=True)
            return True
