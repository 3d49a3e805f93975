"""A search by Optuna that several processes may work on, and that goes on where it was killed."""

import logging
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import optuna
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.study import StudyDirection
from optuna.trial import Trial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from fovea.runtime.errors import first_few
from fovea.sweeps.importance import write_findings
from fovea.sweeps.owner import OWNER, Owner
from fovea.sweeps.space import Space, plain, space

SPACE, FIXED = "fovea:space", "fovea:fixed"
FREE = (
    "ckpt_path",
    "compute",
    "data.cache",
    "data.num_workers",
    "hydra",
    "logger",
    "sheet_rows",
    "trainer.accelerator",
)
"""Overrides that may differ between the processes that work on a study: they change no value."""
ABANDONED = 30
"""Seconds without a word from whoever has locked a journal, after which the lock is taken for a killed process's."""
_ENTRY = b'{"op_code"'  # how each line of a journal begins
log = logging.getLogger(__name__)


class Search:
    """Makes trials until the study has `n_trials` that ended well; the job of trial n has the folder n of the sweep.

    Hydra's own Optuna sweeper needs an Optuna of 2022 with the Hydra that we need, numbers the jobs of each process
    from 0, and does not take up what a killed process left.

    Args:
        config: Hydra's configuration of the sweep.
        launcher: Runs jobs.
        storage: A file, or a database's URL.
        study_name: Its name in the storage.
        direction: `maximize` or `minimize`.
        n_trials: Of the study in all.
        n_jobs: Handed to the launcher at a time.
        seed: With the number of a trial, the seed of its proposal.
        sampler: Makes an Optuna sampler from a seed.

    Raises:
        ValueError: a number or the direction makes no sense.
    """

    def __init__(
        self,
        config: DictConfig,
        launcher: Launcher,
        storage: str,
        study_name: str,
        direction: str,
        n_trials: int,
        n_jobs: int,
        seed: int,
        sampler: Callable[..., optuna.samplers.BaseSampler],
    ) -> None:
        for key, value, least in (("n_trials", n_trials, 1), ("n_jobs", n_jobs, 1), ("seed", seed, 0)):
            if type(value) is not int or value < least:
                raise ValueError(f"hydra.sweeper.{key}={value} is not possible; give a whole number from {least} on")
        if direction not in ("maximize", "minimize"):
            raise ValueError(f"hydra.sweeper.direction={direction} is not a choice; choose maximize or minimize")
        self.folder = Path(config.hydra.sweep.dir)
        self.launcher, self.storage, self.study_name, self.direction = launcher, storage, study_name, direction
        self.n_trials, self.n_jobs, self.seed, self.sampler = n_trials, n_jobs, seed, sampler
        self.failed: dict[int, BaseException] = {}

    def run(self, arguments: Sequence[str]) -> None:
        """Make the trials that are missing, then write what was found.

        Args:
            arguments: Overrides, see `fovea.sweeps.space.space`.

        Raises:
            ValueError: storage or search are of no use, or trials failed, which are named when all have ended.
        """
        searched = space(arguments)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.folder.mkdir(parents=True, exist_ok=True)
        with _storage_errors(self.storage, OSError, ValueError, KeyError, ImportError):
            study = self._open(searched)
        with _storage_errors(self.storage):
            with Owner(self.folder) as owner:
                while batch := self._next(study, searched, owner):
                    self._launch(study, searched, batch)
            write_findings(study, self.folder)
        if self.failed:
            number, error = next(iter(self.failed.items()))
            raise ValueError(f"{len(self.failed)} trials failed; {self.folder / str(number)}: {error}") from error

    def _open(self, searched: Space) -> optuna.Study:
        """The study, made if need be, and checked to be of this search."""
        study = optuna.create_study(
            storage=_open_storage(self.storage),
            study_name=self.study_name,
            direction=StudyDirection[self.direction.upper()],
            load_if_exists=True,
        )
        here = f"hydra.sweeper.storage={self.storage}: the study {self.study_name}"
        mend = "go on as it was begun, or name another hydra.sweeper.study_name and hydra.sweep.dir"
        if (there := study.direction.name.lower()) != self.direction:
            raise ValueError(f"{here} is to {there}, not to {self.direction}; {mend}")
        fixed = sorted(each for each in searched.fixed if not each.lstrip("+~").startswith(FREE))
        for name, value in {SPACE: searched.described(), FIXED: fixed}.items():
            known = study.user_attrs.get(name)
            if known is None and not study.trials:
                study.set_user_attr(name, value)
            elif name == SPACE and known != value:
                raise ValueError(f"{here} searches {plain(known or {})}, not {plain(searched.described())}; {mend}")
            elif known != value:
                raise ValueError(f"{here} has other values: {first_few(sorted({*(known or ())} ^ {*value}))}; {mend}")
        return study

    def _next(self, study: optuna.Study, searched: Space, owner: Owner) -> list[Trial]:
        """The trials to make now: those that a process left when it was killed, then new ones."""
        trials = study.get_trials(deepcopy=False)
        # One without an owner was left before it had anything: it is neither waited for nor taken up.
        running = [each for each in trials if each.state == TrialState.RUNNING and OWNER in each.user_attrs]
        ended = sum(each.state == TrialState.COMPLETE for each in trials)
        missing = self.n_trials - ended - len(running) - len(self.failed)
        batch = [Trial(study, each._trial_id) for each in islice(owner.claimed(study, running), self.n_jobs)]
        while missing > 0 and len(batch) < self.n_jobs:
            study.sampler = self.sampler(seed=self.seed + len(study.get_trials(deepcopy=False)))
            trial = study.ask()
            trial.set_user_attr(OWNER, owner.name)
            batch.append(trial)
            missing -= 1
        return batch

    def _launch(self, study: optuna.Study, searched: Space, batch: Sequence[Trial]) -> None:
        """Have the jobs of these trials run, and tell the study how they ended."""
        jobs = []
        for trial in batch:
            study.sampler = self.sampler(
                seed=self.seed + trial.number
            )  # not on when it is made, or beside which others
            values = {key: suggest(trial, key, each) for key, each in searched.searched.items()}
            jobs.append([*searched.overrides(values), f"hydra.sweep.subdir={trial.number}"])
        ends = self.launcher.launch(jobs, initial_job_idx=batch[0].number)
        for trial, end in zip(batch, ends, strict=True):
            try:
                value = _value(end)
            except Exception as error:
                self.failed[trial.number] = error
                study.tell(trial, state=TrialState.FAIL)
            else:
                study.tell(trial, value)
                log.info("trial %d: %.4f", trial.number, value)


def suggest(trial: Trial, key: str, distribution: BaseDistribution) -> object:
    """The value that a trial has for a key, or is given now."""
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(key, distribution.choices)
    if isinstance(distribution, IntDistribution):
        low, high, step = distribution.low, distribution.high, distribution.step
        return trial.suggest_int(key, low, high, step=step, log=distribution.log)
    assert isinstance(distribution, FloatDistribution)
    return trial.suggest_float(key, distribution.low, distribution.high, log=distribution.log)


def _value(end: JobReturn) -> float:
    """What a job returned.

    Raises:
        Exception: what the job raised, or a line where it returned no number.
    """
    if end.status == JobStatus.FAILED:
        raise end._return_value  # asked for by its public name, Hydra would print it too
    value = end.return_value
    if not isinstance(value, float) or not math.isfinite(value):
        raise ValueError(f"it returned {value} in place of a score; have evaluate=[…] hold objective.split")
    return value


def _open_storage(place: str) -> BaseStorage:
    if "://" in place:
        return RDBStorage(place)
    path = Path(place).resolve()  # the lock is a link to it: a relative one dangles, and is waited for without end
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = JournalFileSymlinkLock(str(path), ABANDONED)
    if path.is_file():
        _cut_torn_line(path, lock)
    return JournalStorage(JournalFileBackend(str(path), lock))


def _cut_torn_line(path: Path, lock: JournalFileSymlinkLock) -> None:
    """Drop a last line that a full disk or a crash left unfinished: the next would be written onto it."""
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
    """What databases and files raise, as one line."""
    expected: tuple[type[Exception], ...] = (StorageInternalError, SQLAlchemyError, *others)
    try:
        yield
    except expected as error:
        cause = error.__cause__ or error
        reason = str(getattr(cause, "orig", None) or cause).splitlines() or [type(cause).__name__]
        raise ValueError(
            f"hydra.sweeper.storage={place}: cannot be used: {reason[0]}; "
            "end what locks it, mend it or name another (a file, or a URL such as sqlite:///FILE)"
        ) from error
