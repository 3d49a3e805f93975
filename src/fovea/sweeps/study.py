"""A search by Optuna that several processes may share, and that resumes after a kill."""

import io
import logging
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, redirect_stderr
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Literal

import optuna
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.study import StudyDirection
from optuna.trial import TrialState
from sqlalchemy.exc import SQLAlchemyError

from fovea.runtime.bounds import Count, NonNegativeInt
from fovea.runtime.config import is_under
from fovea.runtime.errors import first_few
from fovea.runtime.files import write_text
from fovea.runtime.objective import lower_is_better
from fovea.sweeps.findings import write_findings
from fovea.sweeps.owner import OWNER, claim, locked, own
from fovea.sweeps.space import Space, space

OVERRIDES = "fovea:overrides"  # the attribute of a study with its search space and its other overrides
FREE = (
    "ckpt_path",
    "compute",
    "data.cache",
    "data.num_workers",
    "hydra",
    "logger",
    "sheet_rows",
    "sheet_tile",
    "trainer.accelerator",
)
"""Overrides that may differ between the processes of a study: they change no value."""
ABANDONED = 30  # seconds after which the lock of a journal counts as a killed process's
_ENTRY = b'{"op_code"'  # the start of every line of a journal
log = logging.getLogger(__name__)


@dataclass
class Search:
    """Run trials until the study has `n_trials` completed ones; the job of trial n has the folder n of the sweep.

    Hydra's Optuna sweeper needs an old Optuna, numbers the jobs of each process from 0, and does not resume the trials
    of a killed process.
    """

    config: DictConfig  # Hydra's
    launcher: Launcher
    storage: str  # a file or a database's URL
    study_name: str  # a storage may have several
    direction: Literal["maximize", "minimize"]
    n_trials: Count  # completed trials of the study, by all processes
    n_jobs: Count  # trials that the launcher gets at a time
    seed: NonNegativeInt  # with the number of a trial, the seed of its proposal
    sampler: Callable[..., optuna.samplers.BaseSampler]  # makes one from a seed
    failed: dict[int, BaseException] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """The folder of the sweep."""
        return Path(self.config.hydra.sweep.dir)

    def run(self, arguments: Sequence[str]) -> None:
        """Run the missing trials of the search that overrides describe, then write the findings.

        A ValueError if the storage or the search is invalid, or, after all trials have ended, if some failed.
        """
        searched = space(arguments)
        score = OmegaConf.select(self.config, "objective.score")
        if score and self.direction != (right := "minimize" if lower_is_better(score) else "maximize"):
            raise ValueError(f"hydra.sweeper.direction={self.direction} prefers the worst {score}; set {right}")
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.folder.mkdir(parents=True, exist_ok=True)
        with _storage_errors(self.storage, OSError, ValueError, KeyError, ImportError):
            study = self._open(searched)
        write_text(self.folder / "multirun.yaml", OmegaConf.to_yaml(self.config))  # as of any sweep: W&B groups by it
        with _storage_errors(self.storage):
            with locked(self.folder) as lock:
                while batch := self._next(study, searched, lock):
                    self._launch(study, searched, batch)
            write_findings(study, self.folder)
        if self.failed:
            number, error = next(iter(self.failed.items()))
            raise ValueError(f"{len(self.failed)} trials failed; {self.folder / str(number)}: {error}") from error

    def _open(self, searched: Space) -> optuna.Study:
        """Open or create the study, and check that it is of this search."""
        study = optuna.create_study(
            storage=_open_storage(self.storage),
            study_name=self.study_name,
            direction=StudyDirection[self.direction.upper()],
            load_if_exists=True,
        )
        here = f"hydra.sweeper.storage={self.storage}: the study {self.study_name}"
        fix = "repeat its first command, or choose another hydra.sweeper.study_name and hydra.sweep.dir"
        if (stored := study.direction.name.lower()) != self.direction:
            raise ValueError(f"{here} has direction={stored}, not {self.direction}; {fix}")
        written = {
            text.replace(" ", "") for key, text in searched.written.items() if not is_under(key.lstrip("+~"), FREE)
        }
        known = study.user_attrs.get(OVERRIDES)
        if known is None and not study.trials:
            study.set_user_attr(OVERRIDES, sorted(written))
        elif others := sorted(written ^ {*(known or ())}):
            raise ValueError(f"{here} has other values: {first_few(others)}; {fix}")
        return study

    def _next(self, study: optuna.Study, searched: Space, lock: str) -> dict[int, Mapping[str, object]]:
        """Return the values of the next trials by number: those of killed processes first, then new ones."""
        trials, owned = study.get_trials(deepcopy=False), study.user_attrs
        # A trial without an owner has no values yet, or never got them because its process was killed: ignored.
        running = {t.number: t for t in trials if t.state == TrialState.RUNNING and f"{OWNER}{t.number}" in owned}
        completed = sum(trial.state == TrialState.COMPLETE for trial in trials)
        taken = islice(claim(study, running, lock), self.n_jobs)
        batch: dict[int, Mapping[str, object]] = {number: running[number].params for number in taken}
        missing = self.n_trials - completed - len(running) - len(self.failed)
        while missing > 0 and len(batch) < self.n_jobs:
            study.sampler = self.sampler(seed=self.seed + len(study.get_trials(deepcopy=False)))
            trial = study.ask()
            study.sampler = self.sampler(seed=self.seed + trial.number)  # whatever process proposes it, and when
            batch[trial.number] = {key: trial._suggest(key, choices) for key, choices in searched.searched.items()}
            own(study, trial.number, lock)
            missing -= 1
        return batch

    def _launch(self, study: optuna.Study, searched: Space, batch: Mapping[int, Mapping[str, object]]) -> None:
        """Run the jobs of these trials, and tell the study their values."""
        jobs = [
            [*searched.fixed, *(f"{key}={value}" for key, value in values.items()), f"hydra.sweep.subdir={number}"]
            for number, values in batch.items()
        ]
        ends = self.launcher.launch(jobs, initial_job_idx=next(iter(batch)))
        for number, end in zip(batch, ends, strict=True):
            try:
                value = value_of(end)
            except Exception as error:
                self.failed[number] = error
                study.tell(number, state=TrialState.FAIL)
            else:
                study.tell(number, value)
                log.info("trial %d: %.4f", number, value)


def value_of(end: JobReturn) -> float:
    """Return the value of a job, or raise its error; a ValueError where it returned no number."""
    # Hydra prints the overrides of a failed job before it raises; the command has printed a line already.
    with redirect_stderr(io.StringIO()) if end.status == JobStatus.FAILED else nullcontext():
        value = end.return_value
    if not isinstance(value, float) or not math.isfinite(value):
        raise ValueError(f"returned {value} instead of a score; evaluate=[…] must have objective.split")
    return value


def _open_storage(place: str) -> BaseStorage:
    if "://" in place:
        return RDBStorage(place)
    path = Path(place).resolve()  # the lock is a link to it, and a relative one would dangle
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = JournalFileSymlinkLock(str(path), ABANDONED)
    if path.is_file():
        _cut_torn_line(path, lock)
    return JournalStorage(JournalFileBackend(str(path), lock))


def _cut_torn_line(path: Path, lock: JournalFileSymlinkLock) -> None:
    """Drop a last line that a full disk or a crash left unfinished: Optuna would append to it."""
    lock.acquire()
    try:
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if content[whole:] and content[whole:].startswith(_ENTRY[: len(content) - whole]):
            os.truncate(path, whole)
    finally:
        lock.release()


@contextmanager
def _storage_errors(place: str, *others: type[Exception]) -> Iterator[None]:
    """Raise errors of databases and files as one line."""
    expected: tuple[type[Exception], ...] = (StorageInternalError, SQLAlchemyError, *others)
    try:
        yield
    except expected as error:
        cause = error.__cause__ or error
        reason = str(getattr(cause, "orig", None) or cause).splitlines() or [type(cause).__name__]
        fix = "stop what locks it, fix it, or choose another (a file, or a URL such as sqlite:///FILE)"
        raise ValueError(f"hydra.sweeper.storage={place}: cannot be used: {reason[0]}; {fix}") from error
