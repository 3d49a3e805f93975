"""Find and read run folders of `fovea-train`: configuration, status, learning curves and scores."""

import csv
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from fovea.data.splits import check_split
from fovea.report.evaluations import Evaluated, read_evaluation
from fovea.runtime.config import flat, is_under, plain
from fovea.runtime.moved import upgrade
from fovea.runtime.record import FAILURE, TRAINING

FINISHED, INCOMPLETE, FAILED, REPEATED = "finished", "incomplete", "failed", "repeated"
CURVES = ("val/dice", "train/loss")  # columns of metrics.csv that are read
# In a run folder of `fovea-evaluate`: the configuration that the checkpoint was trained with.
TRAINED = "trained.yaml"
_EVALUATED = ("data", "labels", "refine", "scoring", "store", "tta")  # groups that an evaluation can change
_CHOSEN = ("data", "labels", "refine")  # groups whose choice is the checkpoint's own
_MOST_VALUE = 1e30  # of a curve; larger values count as not finite
LearningCurve = tuple[np.ndarray, np.ndarray]  # steps [N] and values [N]


@dataclass(frozen=True)
class Run:
    """One run folder."""

    folder: Path
    status: str  # FINISHED: trained and evaluated; INCOMPLETE: can resume or be evaluated; FAILED; REPEATED
    note: str = ""  # why it is not finished, or what is unusual about it
    config: Mapping[str, Any] = field(default_factory=dict)  # by flat key
    provenance: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)  # seconds and steps of a training that ended
    curves: Mapping[str, LearningCurve] = field(default_factory=dict)  # by column of CURVES
    evaluated: Evaluated | None = None

    @property
    def seed(self) -> Any:
        """The seed of the configuration; None without one."""
        return self.config.get("seed")

    @property
    def overrides(self) -> dict[str, str]:
        """The overrides of the command line, by key."""
        listed = self.provenance.get("overrides")
        words = map(str, listed if isinstance(listed, list) else [])
        pairs = (word.lstrip("+~").partition("=") for word in words if not word.startswith("-"))
        return {key.partition("@")[0]: value for key, _, value in pairs}


def find_runs(runs: Any, split: str, score: str) -> list[Run]:
    """Read the run folders of `fovea-train` in and below `runs`, a folder or several, in their order.

    `score` is a column of `per_image.csv` of the evaluation on `split`.
    """
    check_split(split)
    roots = [runs] if isinstance(runs, str) else runs
    if not isinstance(roots, Sequence) or not roots or not all(isinstance(root, str) for root in roots):
        raise ValueError(f"runs={runs}: give a folder or several: 'runs=[logs/train/A,logs/train/B]'")
    every: dict[Path, Run] = {}
    for root in roots:
        read = {path.resolve(): run for path in run_folders(Path(root)) if (run := read_run(path, split, score))}
        if not read:
            fix = "give run folders with config.yaml and provenance.json, or a folder of them"
            raise ValueError(f"runs={root}: no run of fovea-train there; {fix}")
        every |= read
    homes = {run.config.get("run_dir"): run.folder for run in every.values() if run.training}
    for path, run in every.items():  # of evaluations whose checkpoint has moved since
        if not run.training and (home := homes.get(run.config.get("run_dir"))):
            every[path] = replace(run, config=_seed_open(home, dict(run.config)))
    return sorted(every.values(), key=lambda run: _natural(str(run.folder)))


def run_folders(root: Path) -> Iterator[Path]:
    """Return the folders at or below `root` with a run or the remains of a training; links are not followed."""
    for folder, below, files in os.walk(root):
        ran = {"config.yaml", "provenance.json"} <= set(files)
        if ran and any(name.startswith(("seed_", "fold_")) for name in below):
            pass  # a job of several runs, see `fovea.runtime.objective.parts`
        elif ran or "metrics.csv" in files or TRAINING in files or "checkpoints" in below:
            below[:] = [name for name in below if Path(folder, name, "config.yaml").is_file()]  # evaluations of it
            yield Path(folder)
        below[:] = sorted(name for name in below if not name.startswith("."))


def read_run(folder: Path, split: str, score: str) -> Run | None:
    """Read one run folder; None for a command that does not train. Damaged files make it a failed run."""
    try:
        config = read_config(folder / "config.yaml")
        provenance = read_json(folder / "provenance.json")
        if (folder / TRAINED).is_file():
            return _evaluation(Run(folder, FINISHED, "", config, provenance), split, score)
        if not any(key.startswith("trainer.") for key in config):
            return None
        config = _seed_open(folder, config)
        training, failure = (
            read_json(folder / name) if (folder / name).exists() else {} for name in (TRAINING, FAILURE)
        )
        curves, odd = _curves(folder / "metrics.csv")
    except ValueError as error:
        return Run(folder, FAILED, str(error))
    status, note, evaluated = FINISHED, "", None
    if training and (folder / "evaluate" / split / "per_image.csv").is_file():
        try:
            evaluated = read_evaluation(folder, split, score)
        except ValueError as error:
            status, note = INCOMPLETE, str(error)
    elif failure.get("status") == "failed":
        status, note = FAILED, str(failure.get("reason"))
    elif training:
        status, note = INCOMPLETE, f"trained, not evaluated on {split}: fovea-evaluate split={split}"
    elif any((folder / "checkpoints").glob("*.ckpt")):
        step = max((int(steps[-1]) + 1 for steps, _ in curves.values()), default=0)
        resumes = "interrupted" if failure else "still running, or killed"
        status = INCOMPLETE
        note = f"at step {step} of {config.get('trainer.max_steps', '?')}: {resumes} (ckpt_path=auto resumes it)"
    else:
        status, note = FAILED, f"no checkpoint: {'interrupted' if failure else 'killed, or has just started'}"
    return Run(folder, status, "; ".join(filter(None, (note, odd))), config, provenance, training, curves, evaluated)


def _evaluation(run: Run, split: str, score: str) -> Run | None:
    """Read an evaluation with a folder of its own as a run: its checkpoint's training, and what its command changed."""
    changed = [key for key in run.overrides if key not in _CHOSEN]
    here = _seed_open(run.folder, dict(run.config))
    own = {key: value for key, value in here.items() if is_under(key, _EVALUATED) and is_under(key, changed)}
    given = run.config.get("checkpoint")
    networks = given if isinstance(given, list) else [given]
    path = Path(str(networks[0]))  # a run folder, or a file below one
    if len(networks) > 1:
        own["checkpoint"] = f"{len(networks)} networks"
    elif path.suffix == ".ckpt" and path.name != "best.ckpt":
        own["checkpoint"] = path.name  # another network than that of its training's own evaluation
    try:
        evaluated = read_evaluation(run.folder, split, score)
    except ValueError:
        return None  # of another split, incomplete, or in the folder of the training
    folder = path.parent.parent if path.suffix == ".ckpt" else path
    return replace(run, config=_seed_open(folder, read_config(run.folder / TRAINED)) | own, evaluated=evaluated)


def read_config(path: Path) -> dict[str, Any]:
    """Read a configuration by flat key, with the present names of what has moved; a ValueError if it is damaged."""
    return dict(flat(upgrade(_mapping(path, lambda: OmegaConf.to_container(OmegaConf.load(path))))))


def _seed_open(folder: Path, config: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration with `{seed}` in the texts that the recipe in `folder` makes with `${seed}`.

    So the seeds of a chain, each with its own teacher or store, are one configuration: `path=first/{seed}`.
    """
    try:
        text = (folder / "recipe.yaml").read_text(encoding="utf-8")
        if "seed}" not in text.replace(": ${seed}\n", ""):  # mostly so, and reading takes a while
            return config
        own = {"seed": "{seed}", "run_dir": config["run_dir"], "hydra": None}
        recipe = OmegaConf.create(plain(OmegaConf.create(text), resolve=False) | own)
        made = dict(flat(upgrade(plain(recipe, resolve=True))))
        texts = {key: json.dumps(value).replace("{seed}", str(config["seed"])) for key, value in made.items()}
    except (OSError, ValueError, KeyError, TypeError, AssertionError, YAMLError, OmegaConfBaseException):
        return config  # of an older version, or moved
    return {key: made[key] if texts.get(key) == json.dumps(value) else value for key, value in config.items()}


def read_json(path: Path) -> dict[str, Any]:
    """Read a mapping; a ValueError if it is missing or damaged."""
    return _mapping(path, lambda: json.loads(path.read_text(encoding="utf-8")))


def _mapping(path: Path, read: Callable[[], Any]) -> dict[str, Any]:
    try:
        content = read()
    except FileNotFoundError as error:
        raise ValueError(f"{path.name}: missing") from error
    except (OSError, ValueError, YAMLError, OmegaConfBaseException, RecursionError) as error:
        raise ValueError(f"{path.name}: damaged ({type(error).__name__})") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path.name}: not a mapping")
    return {str(key): value for key, value in content.items()}


def _curves(path: Path) -> tuple[dict[str, LearningCurve], str]:
    """Return the curves by column, the last value of each step, and a note on values that are not finite."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except FileNotFoundError:
        return {}, ""
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        return {}, f"{path.name}: damaged ({type(error).__name__})"
    curves, notes = {}, []
    for column in CURVES:
        points = [point for row in rows if (point := _point(row.get("step"), row.get(column)))]
        if values := {step: value for step, value in points if abs(value) < _MOST_VALUE}:  # false for nan
            steps = sorted(values)
            curves[column] = np.array(steps), np.array([values[step] for step in steps])
        if odd := [step for step, value in points if not abs(value) < _MOST_VALUE]:
            notes.append(f"{column} is not finite at step {odd[0]}")
    return curves, "; ".join(notes)


def _point(step: str | None, value: str | None) -> tuple[int, float] | None:
    try:
        return int(float(step or "")), float(value or "")
    except (ValueError, OverflowError):  # empty, or a line that was being written
        return None


def _natural(text: str) -> list[tuple[bool, int, str]]:
    """Return a sort key that puts run 2 before run 10."""
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in re.split(r"(\d+)", text)]
