"""Compare evaluations of the same images: differences, intervals and tests. Neither torch nor data are needed."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from fovea.data.source import AGAINST
from fovea.metrics.statistics import holm, least_p, mean_interval, sign_flip_test
from fovea.report.evaluations import Evaluated
from fovea.runtime.errors import first_few
from fovea.runtime.files import refuse_foreign, write_csv, write_json, write_text
from fovea.runtime.objective import lower_is_better

Alpha = Annotated[float, Field(strict=True, gt=0, lt=1)]
Resamples = Annotated[int, Field(strict=True, ge=100)]
FIGURES = ("mean", "std", "low", "high", "difference", "difference_low", "difference_high", "p", "p_holm")
_TEX = str.maketrans(
    {mark: f"\\{mark}" for mark in "&%_#${}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$"}
    | {"[": "{[}"}  # \\ takes a [ as its argument
    | {mark: f"${mark}$" for mark in "<>|"}
)
TITLES = ("", "seeds", "{}", "95 % interval", "difference", "95 % interval", "p", "p (Holm)", "verdict")


@dataclass(frozen=True)
class Row:
    """The scores of one name, of one run or of runs with different seeds, and their difference to the baseline."""

    name: str
    folders: list[str]
    seeds: int
    mean: float  # over images, of the mean over seeds
    std: float | None = None  # of the runs' means over the seeds (sample); None for one run
    low: float | None = None  # the 95 % interval of the mean; None with a single patient
    high: float | None = None
    difference: float | None = None  # of the means; None for the baseline
    difference_low: float | None = None
    difference_high: float | None = None
    p: float | None = None
    p_holm: float | None = None  # corrected for the number of names
    verdict: str = "baseline"  # or better, worse, no difference shown
    training_images: int = 0  # how many of the images a run was trained on, at most
    classes: dict[str, float] = field(default_factory=dict)  # the mean of each modality and class, if there are several


@dataclass(frozen=True)
class Comparison:
    """All rows, the baseline first, and how they were made."""

    rows: list[Row]
    column: str
    split: str
    select_on: str
    images: int
    patients: int
    alpha: float
    resamples: int
    seed: int
    other_masks: int = 0  # images whose masks are not the same in all evaluations

    @property
    def classes(self) -> list[str]:
        """The names of the modalities and classes that have a column."""
        return list(dict.fromkeys(name for row in self.rows for name in row.classes))


def compare_runs(
    runs: Mapping[str, Sequence[Evaluated]], column: str, alpha: Alpha, resamples: Resamples, seed: int
) -> Comparison:
    """Compare each name with the first, on the same images.

    Scores are averaged over seeds image by image first. Intervals and tests draw patients: they tell whether a
    difference would hold on other patients for these trained networks. Compare with the spread over seeds, since
    two seeds of one method are two networks and often differ by this test.

    `runs` are evaluations by name, the baseline first; those of one name differ in their seed. `column` is the score
    that they were read with. A p value below `alpha`, corrected by Holm, is called a difference. `resamples` and `seed`
    are those of the bootstrap and the permutation test. A ValueError if images, split or target differ.
    """
    every = [run for named in runs.values() for run in named]
    check_alike(every)
    ids = sorted(every[0].scores)
    patients = [every[0].patients[image_id] for image_id in ids]

    def interval(values: np.ndarray) -> tuple[float | None, float | None]:
        return mean_interval(values, patients, resamples, seed) or (None, None)

    rows, means = [], []
    for name, named in runs.items():
        scores = np.array([[run.scores[image_id] for image_id in ids] for run in named])
        std = float(scores.mean(axis=1).std(ddof=1)) if len(named) > 1 else None
        means.append(scores.mean(axis=0))
        folders = [str(run.folder) for run in named]
        seen = max(run.training_images for run in named)
        mean, ends = float(scores.mean()), interval(means[-1])
        classes = {
            each: float(np.mean([[*run.classes[each].values()] for run in named]))
            for each in named[0].classes
            if all(each in run.classes for run in named)
        }
        rows.append(Row(name, folders, len(named), mean, std, *ends, training_images=seen, classes=classes))
    differences = [mean - means[0] for mean in means[1:]]
    p_values = [sign_flip_test(values, patients, resamples, seed) for values in differences]
    for place, (values, p, corrected) in enumerate(zip(differences, p_values, holm(p_values), strict=True), start=1):
        mean, (low, high) = float(values.mean()), interval(values)
        tested = replace(rows[place], difference=mean, difference_low=low, difference_high=high, p=p, p_holm=corrected)
        rows[place] = replace(tested, verdict=verdict(mean, corrected, alpha, lower_is_better(column)))
    facts = (column, every[0].split, every[0].select_on, len(ids), len(set(patients)))
    other_masks = {image_id for run in every for image_id in every[0].other_masks(run)}
    return Comparison(rows, *facts, alpha, resamples, seed, len(other_masks))


def verdict(difference: float, p: float, alpha: float, lower: bool) -> str:
    """Return `better` or `worse` where p is below alpha, else `no difference shown`, which does not rule one out."""
    if p >= alpha or difference == 0:
        return "no difference shown"
    return "better" if (difference < 0) == lower else "worse"


def check_alike(runs: Sequence[Evaluated]) -> None:
    """Raise a ValueError if evaluations differ in split, target, unit, images or patients, or one is listed twice."""
    first, *others = runs
    for other in others:
        first.check_like(other)
        if unshared := sorted(first.scores.keys() ^ other.scores.keys()):
            few = f"{len(unshared)} ids are only here or only in {first.folder} ({first_few(unshared, 3)})"
            raise ValueError(f"{other.folder}: {few}; evaluate both on the same images")
        if other.patients != first.patients:
            raise ValueError(f"{other.folder}: has other patients than {first.folder}; evaluate both again")
    places = [run.folder.resolve() for run in runs]
    if twice := [run.folder for run, place in zip(runs, places, strict=True) if places.count(place) > 1]:
        raise ValueError(f"{twice[-1]}: listed twice; give each run once")


def refuse_others(out: Path, stem: str, more: Sequence[str] = ()) -> None:
    """Refuse a folder with files of the names that `write_comparison` and `more` give, but of other origin."""
    names = [f"{stem}.{suffix}" for suffix in ("csv", "md", "tex", "json")]
    refuse_foreign(out, [*names, *more], f"{stem}.json", ("rows", "column"))


def write_comparison(comparison: Comparison, out: Path, stem: str = "comparison") -> None:
    """Write `<stem>.csv`, `<stem>.md`, `<stem>.tex` and `<stem>.json` into the folder `out`."""
    rows = []
    for row in map(asdict, comparison.rows):
        figures = ["" if row[key] is None else f"{row[key]:.6f}" for key in FIGURES]
        by_class = [f"{row['classes'][name]:.6f}" if name in row["classes"] else "" for name in comparison.classes]
        rows.append([row["name"], row["seeds"], comparison.images, *figures, row["verdict"], *by_class])
    named = [f"{name}_{comparison.column}" for name in comparison.classes]
    write_csv(out / f"{stem}.csv", ["name", "seeds", "images", *FIGURES, "verdict", *named], rows)
    write_text(out / f"{stem}.md", f"{markdown(comparison)}\n\n{note(comparison)}\n")
    write_text(out / f"{stem}.tex", latex(comparison))
    write_json(out / f"{stem}.json", asdict(comparison))


def texts(comparison: Comparison) -> list[list[str]]:
    """Return the header and the rows as they are printed."""
    titles = [title.format(comparison.column) for title in TITLES]
    lines = [[*titles[:3], *(" ".join(name.split()) for name in comparison.classes), *titles[3:]]]
    for row in comparison.rows:
        figures = [f"{row.classes[name]:.4f}" if name in row.classes else "" for name in comparison.classes]
        figures += [interval_text(row.low, row.high), "" if row.difference is None else f"{row.difference:+.4f}"]
        figures += [interval_text(row.difference_low, row.difference_high, "+"), p_text(row.p), p_text(row.p_holm)]
        lines.append([" ".join(row.name.split()), str(row.seeds), mean_text(row), *figures, row.verdict])
    return lines


def markdown(comparison: Comparison) -> str:
    """Return a Markdown table, one line for each name, with aligned columns so that it reads as plain text too."""
    lines = [[cell.replace("|", r"\|") for cell in line] for line in texts(comparison)]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )


def latex(comparison: Comparison) -> str:
    """Return the table in LaTeX, for the package booktabs."""
    escaped = [[cell.translate(_TEX) for cell in line] for line in texts(comparison)]
    minus = [escaped[0], *([name, *(cell.replace("-", "$-$") for cell in cells)] for name, *cells in escaped[1:])]
    lines = [" & ".join(cells) + r" \\" for cells in minus]
    head = [rf"\begin{{tabular}}{{lrr{'r' * len(comparison.classes)}lrlrrl}}", r"\toprule", lines[0], r"\midrule"]
    return "\n".join([*head, *lines[1:], r"\bottomrule", r"\end{tabular}", ""])


def note(comparison: Comparison) -> str:
    """Return one paragraph on how the figures of the table were made."""
    others, baseline = len(comparison.rows) - 1, texts(comparison)[1][0]
    seen = [f"{row.name} ({row.training_images})" for row in comparison.rows if row.training_images]
    trained = f" Trained on some of these images, which raises the score: {first_few(seen)}." if seen else ""
    text = (
        f"`{comparison.column}` over {comparison.images} images of `{comparison.split}`, against their "
        f"{AGAINST[comparison.select_on]}: the mean over images of the mean over seeds, ± the standard deviation over "
        f"seeds (sample). Intervals: percentile bootstrap over patients ({comparison.patients}), each with all its "
        f"images; {comparison.resamples} resamples, seed {comparison.seed}."
    )
    if others:
        text += (
            f" Differences are to {baseline}, image by image. p: two-sided sign-flip permutation test over patients; p "
            f"(Holm): corrected for {others} comparison{'' if others == 1 else 's'}, and called a difference below "
            f"{comparison.alpha:g}. The verdict is on these trained networks. For a verdict on methods, compare the "
            "difference with the spread over several seeds."
        )
        if len({row.seeds for row in comparison.rows}) > 1:
            text += " Rows of different numbers of seeds also differ by their seeds."
        least = min(others * least_p(comparison.patients, comparison.resamples), 1.0)
        if least >= comparison.alpha:
            so_few = f"p (Holm) is {p_text(least)} or more with so few patients or resamples"
            text += f" No difference can be shown: {so_few}."
    masks = f" {comparison.other_masks} images have other masks in some runs." if comparison.other_masks else ""
    return text + trained + masks


def mean_text(row: Row) -> str:
    """Return the mean with its standard deviation over seeds."""
    return f"{row.mean:.4f}" + ("" if row.std is None else f" ± {row.std:.4f}")


def p_text(p: float | None) -> str:
    """Return a p value with four digits."""
    return "" if p is None else "< 0.0001" if p < 1e-4 else f"{p:.4f}"


def interval_text(low: float | None, high: float | None, sign: str = "") -> str:
    """Return `low to high`, or nothing for no interval."""
    return "" if low is None or high is None else f"{low:{sign}.4f} to {high:{sign}.4f}"
