"""What a run returns to a sweep, and what it leaves in its folder so that it need not be done again."""

import hashlib
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from fovea.runtime.files import write_json

SCORES = ("dice", "iou", "surface_dice", "hd95")
FILE = "outcome.json"


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        value: what it returned to a sweep; None where it was not asked to evaluate that split.
        images: names the list of its training images.
    """

    value: float | None
    images: str


@dataclass(frozen=True)
class Part:
    """One of several runs of a job: the folder below the job's, and the keys in which it differs."""

    folder: str
    keys: Mapping[str, Any]


def check_objective(objective: Mapping[str, Any]) -> None:
    """Refuse an objective that makes no sense.

    Raises:
        ValueError: it names no score, or would choose on test images.
    """
    if objective["score"] not in SCORES:
        raise ValueError(f"objective.score={objective['score']} is not a choice; choose {', '.join(SCORES)}")
    if objective["split"] not in ("train", "val"):
        raise ValueError(
            f"objective.split={objective['split']} is not a choice; choose val or train, since what is chosen on the "
            "test images is not tested by them any more"
        )


def parts(objective: Mapping[str, Any] | None) -> list[Part]:
    """The runs of one job: one for each fold and seed that the objective lists, and none where it lists neither.

    Raises:
        ValueError: the lists make no sense.
    """
    seeds, folds = (objective.get(key) if objective else None for key in ("seeds", "folds"))
    if seeds is not None and (not _whole_numbers(seeds) or len(set(seeds)) < len(seeds) or not seeds):
        raise ValueError(f"objective.seeds={seeds}: give different whole numbers, as in objective.seeds=[0,1,2]")
    if folds is not None and (type(folds) is not int or folds < 2):
        raise ValueError(f"objective.folds={folds}: give a whole number from 2 on, or null")
    by_fold = [(f"fold_{k}", {"data.fold": [k, folds]}) for k in range(folds or 0)] or [("", {})]
    by_seed = [(f"seed_{seed}", {"seed": seed}) for seed in seeds or []] or [("", {})]
    found = [Part("/".join(filter(None, (f, s))), {**k, **n}) for (f, k), (s, n) in product(by_fold, by_seed)]
    return [part for part in found if part.folder]


def value_of(objective: Mapping[str, Any], summaries: Mapping[str, Mapping[str, Any]]) -> float | None:
    """The mean of the objective's score in the summary of its split, where there is one."""
    summary = summaries.get(objective["split"])
    return None if summary is None else float(summary[objective["score"]]["mean"])


def write_outcome(config: Mapping[str, Any], outcome: Outcome) -> None:
    """Say in the run folder that the run has ended, and how."""
    content = {"value": outcome.value, "images": outcome.images, "configuration": _digest(config)}
    write_json(Path(config["run_dir"]) / FILE, content)


def read_outcome(config: Mapping[str, Any]) -> Outcome | None:
    """How the run in this folder ended, if it has, with this very configuration, and is to be gone on with."""
    path = Path(config["run_dir"]) / FILE
    if config.get("ckpt_path") != "auto" or not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        found = Outcome(content["value"], content["images"])
        return found if content["configuration"] == _digest(config) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None  # damaged: going on from the last checkpoint writes it anew


def mean_of(folder: Path, values: Mapping[str, float | None]) -> float | None:
    """The mean over the parts of a job, which is written to its folder; None if one has no value."""
    known: Sequence[float] = [value for value in values.values() if value is not None]
    mean = statistics.fmean(known) if len(known) == len(values) else None
    spread = statistics.stdev(known) if mean is not None and len(known) > 1 else None
    write_json(folder / FILE, {"value": mean, "std": spread, "parts": dict(values)})
    return mean


def _whole_numbers(values: object) -> bool:
    return isinstance(values, list) and all(type(each) is int and each >= 0 for each in values)


def _digest(config: Mapping[str, Any]) -> str:
    """Of all keys; the folder may have been moved."""
    text = json.dumps(config, sort_keys=True, default=str).replace(json.dumps(config["run_dir"])[1:-1], ".")
    return hashlib.sha256(text.encode()).hexdigest()
