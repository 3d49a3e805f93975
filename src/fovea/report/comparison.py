"""Compare evaluations of the same images: differences, intervals and tests. Neither torch nor data are needed."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from fovea.metrics.statistics import holm, mean_interval, sign_flip_test
from fovea.report.evaluations import Evaluated
from fovea.runtime.errors import first_few
from fovea.runtime.files import write_csv, write_json, write_text

LOWER_IS_BETTER = ("hd95",)
Interval = tuple[float, float] | None  # None with a single patient
_VERSUS = ("difference", "difference_low", "difference_high", "p", "p_holm", "verdict")
HEADER = ("name", "seeds", "images", "mean", "std", "low", "high", *_VERSUS)
"""The columns of `comparison.csv`; low and high are the ends of the 95 % intervals."""


@dataclass(frozen=True)
class Versus:
    """The difference to the baseline, image by image."""

    difference: float  # of the means
    interval: Interval
    p: float
    p_holm: float  # corrected for the number of names
    verdict: str  # better, worse, or no difference shown


@dataclass(frozen=True)
class Row:
    """The scores of one name: of one run, or of runs with different seeds."""

    name: str
    folders: list[str]
    seeds: int
    mean: float  # over images, of the mean over seeds
    std: float | None  # of the runs' means over the seeds (sample); None for one run
    interval: Interval  # of the mean
    versus: Versus | None  # None for the baseline


@dataclass(frozen=True)
class Comparison:
    """All rows, the baseline first, and how they were made."""

    rows: list[Row]
    column: str
    split: str
    select_on: str
    images: int
    patients: int | None  # None: no evaluation names them, so each image counts as a patient
    alpha: float
    resamples: int
    seed: int


def compare_runs(
    runs: Mapping[str, Sequence[Evaluated]], column: str, alpha: float, resamples: int, seed: int
) -> Comparison:
    """Compare each name with the first, on the same images.

    Scores are averaged over seeds image by image first. Intervals and tests draw patients: they tell whether a
    difference would hold on other patients for these trained networks. Compare with the spread over seeds, since
    two seeds of one method are two networks and often differ by this test.

    Args:
        runs: Evaluations by name, the baseline first. Those of one name differ in their seed.
        column: The score that they were read with.
        alpha: The level below which a p value, corrected by Holm, is called a difference.
        resamples: The number of bootstrap and permutation resamples.
        seed: The seed of both.

    Raises:
        ValueError: the evaluations differ in images, split or target, or a number is out of range.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must be in (0, 1), got {alpha}")
    if not isinstance(resamples, int) or resamples < 100:
        raise ValueError(f"resamples must be a whole number of at least 100, got {resamples}")
    check_alike([run for named in runs.values() for run in named])
    first = next(iter(runs.values()))[0]
    owners = next((run.patients for named in runs.values() for run in named if run.patients), {})
    ids = sorted(first.scores)
    patients = [owners.get(image_id, image_id) for image_id in ids]
    scores = {name: np.array([[run.scores[i] for i in ids] for run in named]) for name, named in runs.items()}
    versus = _differences(scores, patients, column, alpha, resamples, seed)
    rows = []
    for name, values in scores.items():
        std = float(values.mean(axis=1).std(ddof=1)) if len(values) > 1 else None
        interval = mean_interval(values.mean(axis=0), patients, resamples, seed)
        folders = [str(run.folder) for run in runs[name]]
        rows.append(Row(name, folders, len(values), float(values.mean()), std, interval, versus.get(name)))
    count = len(set(patients)) if owners else None
    return Comparison(rows, column, first.split, first.select_on, len(ids), count, alpha, resamples, seed)


def _differences(
    scores: Mapping[str, np.ndarray], patients: Sequence[str], column: str, alpha: float, resamples: int, seed: int
) -> dict[str, Versus]:
    """Compare scores [seeds, images] with those of the first name."""
    baseline, *others = (values.mean(axis=0) for values in scores.values())
    differences = [values - baseline for values in others]
    p_values = [sign_flip_test(values, patients, resamples, seed) for values in differences]
    versus = []
    for values, p, corrected in zip(differences, p_values, holm(p_values), strict=True):
        mean, interval = float(values.mean()), mean_interval(values, patients, resamples, seed)
        called = verdict(mean, corrected, alpha, lower_is_better(column))
        versus.append(Versus(mean, interval, p, corrected, called))
    return dict(zip(list(scores)[1:], versus, strict=True))


def verdict(difference: float, p: float, alpha: float, lower: bool) -> str:
    """Return `better` or `worse` where p is below alpha, else `no difference shown`, which does not rule one out."""
    if p >= alpha or difference == 0:
        return "no difference shown"
    return "better" if (difference < 0) == lower else "worse"


def lower_is_better(column: str) -> bool:
    """Return whether a smaller value of a score is better, also of a level's score such as `level_1_hd95`."""
    return column.removeprefix("level_").lstrip("0123456789").removeprefix("_") in LOWER_IS_BETTER


def check_alike(runs: Sequence[Evaluated]) -> None:
    """Check that evaluations can be compared image by image.

    Raises:
        ValueError: they differ in split, target, unit, images or patients, or one is listed twice.
    """
    first, *others = runs
    known = next((run for run in runs if run.patients), first)
    for other in others:
        for key in ("split", "select_on", "unit"):
            mine, theirs = getattr(first, key) or "unknown", getattr(other, key) or "unknown"
            if mine != theirs:
                raise ValueError(
                    f"{other.folder}: {key} is {theirs}, but {mine} in {first.folder}; evaluate both in the same way"
                )
        if unshared := sorted(first.scores.keys() ^ other.scores.keys()):
            raise ValueError(
                f"{other.folder}: {len(unshared)} ids are only here or only in {first.folder} "
                f"({first_few(unshared, 3)}); evaluate both on the same images"
            )
        if other.patients and other.patients != known.patients:
            raise ValueError(f"{other.folder}: has other patients than {known.folder}; evaluate both again")
    seen: set[Path] = set()
    for run in runs:
        if (real := run.folder.resolve()) in seen:
            raise ValueError(f"{run.folder}: listed twice; give each run once")
        seen.add(real)


def write_comparison(comparison: Comparison, out: Path, stem: str = "comparison") -> None:
    """Write `<stem>.csv`, `<stem>.md` and `<stem>.json` into the folder `out`.

    Raises:
        ValueError: `out` cannot be written.
    """
    write_csv(out / f"{stem}.csv", HEADER, [_cells(row, comparison.images) for row in comparison.rows])
    write_text(out / f"{stem}.md", f"{markdown(comparison)}\n\n{note(comparison)}\n")
    write_json(out / f"{stem}.json", asdict(comparison))


def markdown(comparison: Comparison) -> str:
    """Return a Markdown table, one line for each name, with aligned columns so that it reads as plain text too."""
    header = [
        "",
        "seeds",
        comparison.column,
        "95 % interval",
        "difference",
        "95 % interval",
        "p",
        "p (Holm)",
        "verdict",
    ]
    lines = [header, *(_line(row) for row in comparison.rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )


def note(comparison: Comparison) -> str:
    """Return one paragraph on how the figures of the table were made."""
    target = "masks" if comparison.select_on == "mask" else "pseudo-masks"
    others = len(comparison.rows) - 1
    if comparison.patients is None:
        patients = (
            "No evaluation has a column `patient`, so each image counts as a patient of its own: evaluate again if a "
            "patient has several."
        )
    else:
        patients = f"All images of one of the {comparison.patients} patients are drawn and flipped together."
    return (
        f"`{comparison.column}` over {comparison.images} images of `{comparison.split}`, against their {target}: the "
        "mean over images of the mean over seeds, ± the standard deviation over seeds (sample). Differences are to "
        f"{_escaped(comparison.rows[0].name)}, image by image. Intervals: percentile bootstrap over patients. p: "
        "two-sided sign-flip permutation test over patients; p (Holm): corrected for "
        f"{others} comparison{'' if others == 1 else 's'}, and called a difference below {comparison.alpha:g}. "
        f"{comparison.resamples} resamples, seed {comparison.seed}. {patients} The verdict is on these trained "
        "networks. For a verdict on methods, compare the difference with the spread over several seeds."
    )


def p_text(p: float) -> str:
    """Return a p value with four digits."""
    return "< 0.0001" if p < 1e-4 else f"{p:.4f}"


def interval_text(ends: Interval, sign: str = "") -> str:
    """Return `low to high`, or nothing for no interval."""
    return "" if ends is None else "{:{sign}.4f} to {:{sign}.4f}".format(*ends, sign=sign)


def _line(row: Row) -> list[str]:
    mean = f"{row.mean:.4f}" if row.std is None else f"{row.mean:.4f} ± {row.std:.4f}"
    line = [_escaped(row.name), str(row.seeds), mean, interval_text(row.interval)]
    if (versus := row.versus) is None:
        return [*line, "", "", "", "", "baseline"]
    interval = interval_text(versus.interval, "+")
    return [*line, f"{versus.difference:+.4f}", interval, p_text(versus.p), p_text(versus.p_holm), versus.verdict]


def _cells(row: Row, images: int) -> list[object]:
    versus = row.versus
    figures = [row.mean, row.std, *(row.interval or (None, None))]
    if versus is not None:
        figures += [versus.difference, *(versus.interval or (None, None)), versus.p, versus.p_holm]
    texts = ["" if figure is None else f"{figure:.6f}" for figure in figures]
    end = ["", "", "", "", "", "baseline"] if versus is None else [versus.verdict]
    return [row.name, row.seeds, images, *texts, *end]


def _escaped(name: str) -> str:
    """Return a name that does not end a cell of the table."""
    return " ".join(name.split()).replace("|", r"\|")
