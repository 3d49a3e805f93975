"""A search whose jobs compute a number."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import optuna
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf

from fovea.sweeps.study import Search

SPACE = ["lr=tag(log,interval(0.001,1))", "loss=bce,dice", "trainer.max_steps=5"]


class Jobs:
    """A launcher whose jobs return a number made of their overrides, or raise."""

    def __init__(self, job: Callable[[dict[str, str]], float | None]) -> None:
        self.job = job
        self.seen: list[dict[str, str]] = []

    def launch(self, jobs: Sequence[Sequence[str]], initial_job_idx: int) -> list[JobReturn]:
        ends = []
        for overrides in jobs:
            keys = dict(item.split("=", 1) for item in overrides)
            self.seen.append(keys)
            end = JobReturn()
            try:
                end.return_value, end.status = self.job(keys), JobStatus.COMPLETED
            except ValueError as error:
                end.return_value, end.status = error, JobStatus.FAILED
            ends.append(end)
        return ends

    @property
    def proposed(self) -> list[tuple[str, str, str]]:
        return [(keys["hydra.sweep.subdir"], keys["lr"], keys["loss"]) for keys in self.seen]


def score(keys: dict[str, str]) -> float:
    return float(keys["lr"]) + (0.1 if keys["loss"] == "dice" else 0.0)


def dies(keys: dict[str, str]) -> float:
    raise KeyboardInterrupt  # the launcher does not return


def search(folder: Path, jobs: Jobs, **settings: object) -> Search:
    defaults = {
        "storage": str(folder / "study.journal"),
        "study_name": "fovea",
        "direction": "maximize",
        "n_trials": 6,
        "n_jobs": 1,
        "seed": 0,
        "sampler": partial(optuna.samplers.TPESampler, n_startup_trials=3),
    }
    return Search(OmegaConf.create({"hydra": {"sweep": {"dir": str(folder)}}}), jobs, **defaults | settings)
