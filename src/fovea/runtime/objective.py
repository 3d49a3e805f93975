"""The value that a run returns to a sweep, and the record that it has ended."""

import hashlib
import json
import statistics
from collections.abc import Collection, Mapping
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field

from fovea.runtime.bounds import NonNegativeInt, check_values
from fovea.runtime.files import read_mapping, write_json

FILE = "outcome.json"
Score = Literal["dice", "iou", "surface_dice", "hd95"]


_BOUNDS = {
    "score": Score,
    "split": Literal["train", "val"],  # a choice on test images would make them useless for testing
    "seeds": Annotated[list[NonNegativeInt], Field(min_length=1)] | None,
    "folds": Annotated[int, Field(strict=True, ge=2)] | None,
}


class Outcome(NamedTuple):
    """The end of a run: what it returned to a sweep, and a digest of the list of its training images."""

    value: float | None
    images: str


class Part(NamedTuple):
    """One of several runs of a job: its folder below the folder of the job, and the keys in which it differs."""

    folder: str
    keys: Mapping[str, Any]


def lower_is_better(score: str) -> bool:
    """Return whether a smaller value of a score is better, also of a class: `cup_hd95`."""
    return score == "hd95" or score.endswith("_hd95")


def check_objective(objective: Mapping[str, Any]) -> None:
    """Refuse values out of bounds, and a seed that is listed twice."""
    check_values(_BOUNDS, objective, "objective")
    seeds = objective.get("seeds") or []
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"objective.seeds must be different numbers, got {seeds}")


def parts(config: Mapping[str, Any], given: Collection[str] = ()) -> list[Part]:
    """Return the runs of one job, one per fold and seed that `objective` lists; none if it lists neither.

    A ValueError if `data.fold` is set, or the command line (`given`: its words) sets `seed`: each run has its own.
    """
    if (objective := config.get("objective")) is None:  # a command without a training
        return []
    check_objective(objective)
    seeds, folds = objective.get("seeds"), objective.get("folds")
    fold = (config.get("data") or {}).get("fold")
    if folds and fold is not None:
        fix = "set one of them to null"
        raise ValueError(f"objective.folds={folds} sets data.fold, so {fold} would have no effect; {fix}")
    if seeds and (words := [word for word in given if word.lstrip("+").startswith("seed=")]):
        raise ValueError(f"objective.seeds={seeds} sets seed, so {words[0]} would have no effect; remove one of them")
    by_fold = [(f"fold_{k}", {"data.fold": [k, folds]}) for k in range(folds or 0)] or [("", {})]
    by_seed = [(f"seed_{seed}", {"seed": seed}) for seed in seeds or []] or [("", {})]
    runs = [Part("/".join(filter(None, (f, s))), {**k, **n}) for (f, k), (s, n) in product(by_fold, by_seed)]
    return [run for run in runs if run.folder]


def value_of(objective: Mapping[str, Any], summaries: Mapping[str, Mapping[str, Any]]) -> float | None:
    """Return the mean of the objective's score on its split; None if that split has no summary."""
    summary = summaries.get(objective["split"])
    return None if summary is None else float(summary[objective["score"]]["mean"])


def write_outcome(config: Mapping[str, Any], outcome: Outcome) -> None:
    """Record in the run folder that the run has ended."""
    content = {"value": outcome.value, "images": outcome.images, "configuration": _digest(config)}
    write_json(Path(config["run_dir"]) / FILE, content)


def read_outcome(config: Mapping[str, Any]) -> Outcome | None:
    """Return the outcome in the run folder if the run is to be resumed and ended with this very configuration."""
    content = read_mapping(Path(config["run_dir"]) / FILE) if config.get("ckpt_path") == "auto" else {}
    if not content or content.get("configuration") != _digest(config):
        return None  # none, or damaged: the run resumes from its last checkpoint and writes it again
    return Outcome(content["value"], content["images"])


def mean_of(folder: Path, values: Mapping[str, float | None]) -> float | None:
    """Write the mean over the parts of a job into its folder and return it; None if a part has no value."""
    numbers = [value for value in values.values() if value is not None]
    mean = statistics.fmean(numbers) if len(numbers) == len(values) else None
    spread = statistics.stdev(numbers) if mean is not None and len(numbers) > 1 else None
    write_json(folder / FILE, {"value": mean, "std": spread, "parts": dict(values)})
    return mean


def _digest(config: Mapping[str, Any]) -> str:
    """Return a hash of all keys that does not depend on where the run folder is."""
    text = json.dumps(config, sort_keys=True, default=str).replace(json.dumps(config["run_dir"])[1:-1], ".")
    return hashlib.sha256(text.encode()).hexdigest()
