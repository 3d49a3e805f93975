"""Run folders of `fovea-train`, found and read: what each trained with, how far it came, how it scored."""

import csv
import json
import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from fovea.report.evaluations import Evaluated, read_evaluation
from fovea.runtime.config import flat, is_under

FINISHED, INCOMPLETE, FAILED = "finished", "incomplete", "failed"
CURVES = ("val/dice", "train/loss")
"""The columns of metrics.csv that are read."""

TRAINED = "trained.yaml"
"""In a run folder of `fovea-evaluate`: what the checkpoint was trained with."""

_INSIDE = ("checkpoints", "evaluate")  # folders of a run, where no other run is looked for
_MOST_LOG = 4096  # bytes of a log's end that are read
_MOST_LINE = 240  # characters of its last line that are kept
_MOST_VALUE = 1e30  # of a curve; what is beyond counts as not finite
Curve = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Run:
    """One run folder as it was found."""

    folder: Path
    status: str  # FINISHED: trained and evaluated; INCOMPLETE: has checkpoints; FAILED: left nothing to score
    note: str = ""  # why it is not finished, or what is odd about it
    config: Mapping[str, Any] = field(default_factory=dict)  # by flat key
    provenance: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)  # seconds and steps, of a training that ended
    curves: Mapping[str, Curve] = field(default_factory=dict)  # by column of CURVES: steps [N] and values [N]
    evaluated: Evaluated | None = None

    @property
    def seed(self) -> Any:
        """The seed of the configuration; None where there is none."""
        return self.config.get("seed")


def find_runs(given: Any, split: str, score: str) -> list[Run]:
    """Read all run folders of `fovea-train` in and below folders; those of other commands are passed over.

    Args:
        given: A folder or several.
        split: Whose evaluation is read.
        score: A column of `per_image.csv`.

    Returns:
        In the order of the folders, 2 before 10.

    Raises:
        ValueError: `given` is no folder, or has no run in it.
    """
    roots = [given] if isinstance(given, str) else given
    if not isinstance(roots, Sequence) or not roots or not all(isinstance(root, str) for root in roots):
        raise ValueError(f"runs={given}: give a folder, or several: 'runs=[logs/train/A,logs/train/B]'")
    found: dict[Path, Run] = {}
    for root in map(Path, roots):
        if not root.is_dir():
            raise ValueError(f"runs: {root} is no folder; give run folders of fovea-train, or a folder of them")
        here = {path.resolve(): read_run(path, split, score) for path in run_folders(root)}
        trained = {path: run for path, run in here.items() if run is not None}
        if not trained:
            raise ValueError(
                f"runs: no run of fovea-train in {root}: none with config.yaml and provenance.json; "
                "give its run folders, or a folder of them"
            )
        found |= trained
    return sorted(found.values(), key=lambda run: _natural(str(run.folder)))


def run_folders(root: Path) -> Iterator[Path]:
    """Folders at or below `root` that a command ran in, or that hold the remains of a training; links are not followed.

    Nothing is looked for inside of one.
    """
    for folder, below, files in os.walk(root):
        ran = {"config.yaml", "provenance.json"} <= set(files)
        if ran or "metrics.csv" in files or "training.json" in files or "checkpoints" in below:
            below.clear()
            yield Path(folder)
        below[:] = sorted(name for name in below if not name.startswith(".") and name not in _INSIDE)


def read_run(folder: Path, split: str, score: str) -> Run | None:
    """Read one run folder; None where it is of a command that does not train. What is damaged makes it a failed one."""
    try:
        config = dict(flat(_config(folder / "config.yaml")))
        provenance = _json(folder / "provenance.json")
        if (folder / TRAINED).is_file():
            return _evaluation(folder, config, provenance, split, score)
        if not any(key.startswith("trainer.") for key in config):
            return None
        training = _json(folder / "training.json") if (folder / "training.json").exists() else {}
        curves, odd = _curves(folder / "metrics.csv")
    except ValueError as error:
        return Run(folder, FAILED, str(error))
    about: dict[str, Any] = {"config": config, "provenance": provenance, "training": training, "curves": curves}
    if not training:
        status, why = _unfinished(folder, config, curves)
        return Run(folder, status, "; ".join(filter(None, (why, odd))), **about)
    try:
        if not (folder / "evaluate" / split / "per_image.csv").is_file():
            raise ValueError(f"trained, not evaluated on {split}: fovea-evaluate split={split}")
        return Run(folder, FINISHED, odd, evaluated=read_evaluation(folder, split, score), **about)
    except ValueError as error:
        return Run(folder, INCOMPLETE, "; ".join(filter(None, (str(error), odd))), **about)


def _evaluation(
    folder: Path, config: Mapping[str, Any], provenance: Mapping[str, Any], split: str, score: str
) -> Run | None:
    """An evaluation of its own, as a run that trained as its checkpoint did, but for what its command line says."""
    trained = dict(flat(_config(folder / TRAINED)))
    given = [
        key for key in words(provenance) if key not in ("data", "labels", "refine")
    ]  # the groups say what was there already
    changed = {
        key: value
        for key, value in config.items()
        if is_under(key, ("data", "labels", "refine", "store", "scoring", "tta"))
    }
    merged = trained | {key: value for key, value in changed.items() if is_under(key, given)}
    try:
        return Run(
            folder, FINISHED, config=merged, provenance=provenance, evaluated=read_evaluation(folder, split, score)
        )
    except ValueError:
        return None  # of another split, or cut short: its network is another folder's


def words(provenance: Mapping[str, Any]) -> dict[str, str]:
    """What was given on a command line, by key."""
    try:
        given = shlex.split(str(provenance.get("command", "")))[1:]
    except ValueError:  # an open quote
        return {}
    pairs = (word.lstrip("+~").partition("=") for word in given if not word.startswith("-"))
    return {key.partition("@")[0]: value for key, _, value in pairs}


def _unfinished(folder: Path, config: Mapping[str, Any], curves: Mapping[str, Curve]) -> tuple[str, str]:
    log = last_line(folder / "train.log")
    if any((folder / "checkpoints").glob("*.ckpt")):
        steps = max((int(steps[-1]) + 1 for steps, _ in curves.values() if len(steps)), default=0)
        most = config.get("trainer.max_steps", "?")
        return INCOMPLETE, f"at step {steps} of {most}; still running, or cut short (ckpt_path=auto goes on)"
    return FAILED, f"no checkpoint: failed, or only just begun{f'; its log ends with: {log}' if log else ''}"


def last_line(path: Path) -> str:
    """The last line of a log, cut to a readable length; nothing where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _MOST_LOG))
            lines = file.read().decode(errors="replace").split("\n")
    except OSError:
        return ""
    line = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f"{line[:_MOST_LINE]}…" if len(line) > _MOST_LINE else line


def _config(path: Path) -> dict[str, Any]:
    try:
        content = OmegaConf.to_container(OmegaConf.load(path))
    except FileNotFoundError as error:
        raise ValueError(f"no {path.name}") from error
    except (OSError, ValueError, YAMLError, OmegaConfBaseException, RecursionError) as error:
        raise ValueError(f"{path.name} cannot be read ({type(error).__name__})") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path.name} is no configuration")
    return {str(key): value for key, value in content.items()}


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ValueError(f"no {path.name}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path.name} cannot be read ({type(error).__name__})") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path.name} is no mapping")
    return content


def _curves(path: Path) -> tuple[dict[str, Curve], str]:
    """The curves by column, and a word on values that are no numbers. The last value of a step counts."""
    values: dict[str, dict[int, float]] = {column: {} for column in CURVES}
    odd: dict[str, int] = {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                for column in CURVES:
                    if (point := _point(row.get("step"), row.get(column))) is None:
                        continue
                    if abs(point[1]) < _MOST_VALUE:  # not so of nan
                        values[column][point[0]] = point[1]
                    else:
                        odd.setdefault(column, point[0])
    except FileNotFoundError:
        return {}, ""
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        return {}, f"{path.name} cannot be read ({type(error).__name__})"
    curves = {
        column: (np.array(sorted(points)), np.array([points[step] for step in sorted(points)]))
        for column, points in values.items()
        if points
    }
    return curves, "; ".join(f"{column} is not finite at step {step}" for column, step in odd.items())


def _point(step: str | None, value: str | None) -> tuple[int, float] | None:
    if not step or not value:
        return None
    try:
        return int(float(step)), float(value)
    except (ValueError, OverflowError):  # a line that was being written
        return None


def _natural(text: str) -> list[tuple[bool, int, str]]:
    """A key to sort by that has run 2 before run 10."""
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in re.split(r"(\d+)", text)]
