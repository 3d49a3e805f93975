"""A comparison as files: a table to paste into a paper, the same for a spreadsheet, and all of it for programs."""

from dataclasses import asdict
from pathlib import Path

from fovea.report.comparison import Comparison, Interval, Row
from fovea.runtime.files import write_csv, write_json, write_text

_VERSUS = ("difference", "difference_low", "difference_high", "p", "p_holm", "verdict")
HEADER = ("name", "seeds", "images", "mean", "std", "low", "high", *_VERSUS)
"""The columns of `comparison.csv`; low and high are the ends of the 95 % intervals."""


def write_comparison(comparison: Comparison, out: Path, stem: str = "comparison") -> None:
    """Write `comparison.csv`, `comparison.md` and `comparison.json` into `out`, a folder made if need be.

    Args:
        comparison: What to write.
        out: The folder.
        stem: Of the names of the files.

    Raises:
        ValueError: `out` cannot be written.
    """
    write_csv(out / f"{stem}.csv", HEADER, [_cells(row, comparison.images) for row in comparison.rows])
    write_text(out / f"{stem}.md", f"{table(comparison)}\n\n{note(comparison)}\n")
    write_json(out / f"{stem}.json", asdict(comparison))


def table(comparison: Comparison) -> str:
    """A Markdown table, one line a name, its columns aligned so that it reads as plain text too."""
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
    """What the figures of the table are, in one paragraph."""
    target = "masks" if comparison.select_on == "mask" else "pseudo-masks"
    names = len(comparison.rows) - 1
    lone = any(row.seeds == 1 for row in comparison.rows)
    return (
        f"`{comparison.column}` over {comparison.images} images of `{comparison.split}`, against their {target}: the "
        "mean over images of the mean over seeds, ± the standard deviation over seeds (sample). Differences are to "
        f"{_escaped(comparison.rows[0].name)}, image by image. Intervals: percentile bootstrap over images. p: "
        "two-sided sign-flip permutation test over images; p (Holm): corrected for "
        f"{names} comparison{'s' if names > 1 else ''}, and called a difference below {comparison.alpha:g}. "
        f"{comparison.resamples} resamples, seed {comparison.seed}. Images count as independent; where a patient has "
        "several, differences look surer than they are. The verdict is on these trained networks: for one on methods, "
        "hold the difference against the spread over seeds"
        f"{', of which one seed says nothing' if lone else ''}."
    )


def _line(row: Row) -> list[str]:
    mean = f"{row.mean:.4f}" if row.std is None else f"{row.mean:.4f} ± {row.std:.4f}"
    line = [_escaped(row.name), str(row.seeds), mean, _interval(row.interval)]
    if (versus := row.versus) is None:
        return [*line, "", "", "", "", "baseline"]
    p_values = ["< 0.0001" if p < 1e-4 else f"{p:.4f}" for p in (versus.p, versus.p_holm)]
    return [*line, f"{versus.difference:+.4f}", _interval(versus.interval, "+"), *p_values, versus.verdict]


def _cells(row: Row, images: int) -> list[object]:
    std = "" if row.std is None else f"{row.std:.6f}"
    cells: list[object] = [row.name, row.seeds, images, f"{row.mean:.6f}", std, *(f"{end:.6f}" for end in row.interval)]
    if (versus := row.versus) is None:
        return [*cells, "", "", "", "", "", "baseline"]
    figures = (versus.difference, *versus.interval, versus.p, versus.p_holm)
    return [*cells, *(f"{figure:.6f}" for figure in figures), versus.verdict]


def _interval(ends: Interval, sign: str = "") -> str:
    return "{:{sign}.4f} to {:{sign}.4f}".format(*ends, sign=sign)


def _escaped(name: str) -> str:
    """A name that no cell of the table ends at."""
    return " ".join(name.split()).replace("|", r"\|")
