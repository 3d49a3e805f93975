"""Evaluations of the same images, compared: what differs, and whether it does. No torch, and nothing is written."""

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fovea.metrics.paired import holm, interval, sign_flip_test
from fovea.runtime.errors import first_few

LOWER_IS_BETTER = ("hd95",)  # a distance; of all other scores more is better
_FORMS = "give 'compare=[A,B]' or 'compare={name: [A0,A1], other: [B0,B1]}', the first is the baseline"
Interval = tuple[float, float]


@dataclass(frozen=True)
class Evaluated:
    """One evaluation, read from its folder."""

    folder: Path
    split: str
    select_on: str  # what it was scored against: mask or pseudo
    scores: dict[str, float]  # one column of per_image.csv, by id
    measure: str = ""  # of a distance: its unit, and the tolerance of one that has it


@dataclass(frozen=True)
class Versus:
    """The difference of a name's scores to the baseline's, image by image."""

    difference: float  # of the means
    interval: Interval
    p: float
    p_holm: float  # corrected for the number of names
    verdict: str  # better, worse, or no difference shown


@dataclass(frozen=True)
class Row:
    """The scores of one name: of one run, or of runs that differ in their seed."""

    name: str
    folders: list[str]
    seeds: int
    mean: float  # over images, of the mean over seeds
    std: float | None  # of the runs' means over the seeds (sample); None for one run
    interval: Interval  # of the mean
    versus: Versus | None  # None: this is the baseline


@dataclass(frozen=True)
class Comparison:
    """All rows, the baseline first, and how they came about."""

    rows: list[Row]
    column: str
    split: str
    select_on: str
    images: int
    alpha: float
    resamples: int
    seed: int


def compare(
    runs: Mapping[str, Sequence[Evaluated]], column: str, alpha: float, resamples: int, seed: int
) -> Comparison:
    """Compare each name with the first, on the images that all of them were evaluated on.

    What varies is the image: intervals and tests say whether a difference would hold on other images like these, for
    these trained networks. Seeds are averaged image by image first. Their spread stands beside: two seeds of one
    method are two networks, and often differ by this test. Images count as independent, so several slices of one
    patient make a result look surer than it is.

    Args:
        runs: Evaluations by name, the baseline first; those of one name differ in their seed.
        column: The score that they were read with.
        alpha: A difference is called one where its p value, corrected by Holm, is below.
        resamples: Of the bootstrap, and of the permutation test.
        seed: Of both.

    Raises:
        ValueError: evaluations of different images, splits or targets; or a number is out of range.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"compare_alpha={alpha}: give a chance of error in (0, 1), say 0.05")
    if not isinstance(resamples, int) or resamples < 100:
        raise ValueError(f"compare_resamples={resamples}: give 100 or more, say 10000")
    check_alike([run for each in runs.values() for run in each])
    baseline = next(iter(runs))
    first = runs[baseline][0]
    ids = sorted(first.scores)
    scores = {name: np.array([[run.scores[each] for each in ids] for run in listed]) for name, listed in runs.items()}
    by_image = {name: values.mean(axis=0) for name, values in scores.items()}
    differences = {name: values - by_image[baseline] for name, values in by_image.items() if name != baseline}
    p_values = {name: sign_flip_test(values, resamples, seed) for name, values in differences.items()}
    corrected = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    versus = {}
    for name, values in differences.items():
        mean, p = float(values.mean()), corrected[name]
        called = verdict(mean, p, alpha, lower_is_better(column))
        versus[name] = Versus(mean, interval(values, resamples, seed), p_values[name], p, called)
    rows = [
        _row(name, listed, scores[name], interval(by_image[name], resamples, seed), versus.get(name))
        for name, listed in runs.items()
    ]
    return Comparison(rows, column, first.split, first.select_on, len(ids), alpha, resamples, seed)


def _row(name: str, runs: Sequence[Evaluated], scores: np.ndarray, around: Interval, versus: Versus | None) -> Row:
    """The row of a name from its scores [S, N], of S runs and N images."""
    std = float(scores.mean(axis=1).std(ddof=1)) if len(runs) > 1 else None
    return Row(name, [str(run.folder) for run in runs], len(runs), float(scores.mean()), std, around, versus)


def verdict(difference: float, p: float, alpha: float, lower: bool) -> str:
    """`better` or `worse` where p is below alpha, else `no difference shown`: which does not say that there is none."""
    if p >= alpha or difference == 0:
        return "no difference shown"
    return "better" if (difference < 0) == lower else "worse"


def lower_is_better(column: str) -> bool:
    """Whether the smaller value of a score, of the prediction or of a level of it, is the better one."""
    return column.removeprefix("level_").lstrip("0123456789").removeprefix("_") in LOWER_IS_BETTER


def check_alike(runs: Sequence[Evaluated]) -> None:
    """Make sure that evaluations can be compared image by image.

    Raises:
        ValueError: they are of different splits, targets, units or images, of fewer than two images, or one is there
            twice.
    """
    first, *others = runs
    for other in others:
        for key in ("split", "select_on"):
            ours, theirs = getattr(first, key), getattr(other, key)
            if ours != theirs:
                raise ValueError(
                    f"compare: {key} is {ours} in {first.folder} but {theirs} in {other.folder}; evaluate both alike"
                )
        if first.measure != other.measure:
            raise ValueError(
                f"compare: distances are {first.measure or 'of no known unit'} in {first.folder} but "
                f"{other.measure or 'of no known unit'} in {other.folder}; evaluate both alike"
            )
        if unshared := sorted(first.scores.keys() ^ other.scores.keys()):
            raise ValueError(
                f"compare: {len(unshared)} ids are in only one of {first.folder} and {other.folder} "
                f"({first_few(unshared, 3)}); evaluate both on the same images"
            )
    if len(first.scores) < 2:
        raise ValueError(f"compare: {first.folder} has {len(first.scores)} images; evaluate on two or more")
    seen: set[Path] = set()
    for run in runs:
        if (real := run.folder.resolve()) in seen:
            raise ValueError(f"compare: {run.folder} is given twice; give each run once")
        seen.add(real)


def read_runs(given: Any, split: str, column: str) -> dict[str, list[Evaluated]]:
    """Read what the key `compare` names.

    Args:
        given: Two or more folders, or one or more folders by name; see `read_evaluation`.
        split: Of the evaluation inside a run folder.
        column: The score to read.

    Raises:
        ValueError: `given` has another form, or a folder cannot be read.
    """
    if isinstance(given, Sequence) and not isinstance(given, str):
        folders = [str(folder) for folder in given]
        if twice := sorted({folder for folder in folders if folders.count(folder) > 1}):
            raise ValueError(f"compare: {twice[0]} is given twice; give each run once")
        given = {folder: [folder] for folder in folders}
    if not isinstance(given, Mapping) or len(given) < 2:
        raise ValueError(f"compare={given} is nothing to compare; {_FORMS}")
    runs = {}
    for name, folders in given.items():
        listed = [folders] if isinstance(folders, str) else folders
        if not isinstance(listed, Sequence) or not listed:
            raise ValueError(f"compare: {name} names no folders; {_FORMS}")
        runs[str(name)] = [read_evaluation(Path(str(folder)), split, column) for folder in listed]
    return runs


def read_evaluation(folder: Path, split: str, column: str) -> Evaluated:
    """Read one column of an evaluation.

    Args:
        folder: With `per_image.csv` and `summary.json`; or a run folder, with them in `evaluate/<split>/`.
        split: `train`, `val` or `test`.
        column: Of `per_image.csv`.

    Raises:
        ValueError: a file is missing or damaged; the column is missing; an id is there twice; a score is no number.
    """
    inside = folder / "evaluate" / split
    table = folder / "per_image.csv"
    if not table.is_file() and not (folder / "summary.json").is_file():
        table = inside / "per_image.csv"
    for path in (table, table.with_name("summary.json")):
        if not path.is_file():
            raise ValueError(
                f"compare: no {path.name} in {folder} or {inside}; give a folder that fovea-evaluate wrote, or split=…"
            )
    summary = _read_summary(table.with_name("summary.json"))
    scores, measure = _read_scores(table, column), _measure(summary.get(column))
    return Evaluated(table.parent, summary["split"], summary["select_on"], scores, measure)


def _measure(score: Any) -> str:
    """What a score is measured in, of its entry in the summary: `in mm`, `in mm within 2.0`, or nothing."""
    unit, tolerance = (score.get(key) if isinstance(score, dict) else None for key in ("unit", "tolerance"))
    return "" if unit is None else f"in {unit}" + ("" if tolerance is None else f" within {tolerance}")


def _read_summary(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not JSON ({error}); evaluate again") from error
    keys = ("split", "select_on")
    if not isinstance(content, dict) or not all(isinstance(content.get(key), str) for key in keys):
        raise ValueError(f"{path}: no split or no select_on in it; evaluate again")
    return content


def _read_scores(path: Path, column: str) -> dict[str, float]:
    scores: dict[str, float] = {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            columns = list(reader.fieldnames or [])
            if "id" not in columns or column not in columns or column == "id":
                others = [each for each in columns if each != "id"]
                wanted = column if "id" in columns else "id"
                raise ValueError(f"{path}: no column {wanted} of scores; it has {first_few(others, 12)} (compare_on=…)")
            for row in reader:
                if row["id"] in scores:
                    raise ValueError(f"{path}, line {reader.line_num}: {row['id']} is there twice; evaluate again")
                scores[row["id"]] = _number(row[column], f"{path}, line {reader.line_num}: {column}")
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: no table ({error}); evaluate again") from error
    return scores


def _number(text: str | None, where: str) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{where} is {text!r}, not a number; evaluate again, or choose another column (compare_on=…)")
    return value
