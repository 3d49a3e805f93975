"""The page of a report on runs: one HTML file that needs nothing else, for the screen and for paper."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fovea.report.comparison import Row, interval_text, lower_is_better, note, p_text
from fovea.report.configurations import ABSENT, Configuration, number, short_keys, shown
from fovea.report.pages import data_uri, render
from fovea.report.plot import span
from fovea.report.run_charts import (
    Curves,
    Dose,
    dose_chart,
    interval_bar,
    learning_chart,
    scatter_chart,
    scatter_plot,
    style,
)
from fovea.report.run_table import common_folder, run_rows, version_rows, warnings
from fovea.report.runs import CURVES, FAILED, FINISHED, INCOMPLETE
from fovea.report.study import Study
from fovea.report.sweeps import swept
from fovea.runtime.files import write_text

MOST_SCORES = 400_000
"""Scores of single images in the page, some 3 MB; of more configurations than fit the first are in it."""

_HARDEST = 15  # images listed
_SIDE = 1300  # of a contact sheet, in pixels at most


def write_report_page(path: Path, study: Study, megabytes: float) -> None:
    """Write the page. Equal arguments give equal bytes; whatever comes from outside is escaped.

    Args:
        path: The HTML file; it is whole or absent.
        study: What to tell.
        megabytes: Of pictures at most.

    Raises:
        ValueError: the file cannot be written.
    """
    write_text(path, render("report.html.jinja", _content(study, megabytes)))


def _content(study: Study, megabytes: float) -> dict[str, Any]:
    folder = common_folder(study)
    counts = {kind: sum(run.status == kind for run in study.runs) for kind in (FINISHED, INCOMPLETE, FAILED)}
    return {
        "comparison": study.comparison,
        "counts": counts,
        "data": _data(study),
        "folder": folder,
        "headline": headline(study),
        "rows": _rows(study),
        "note": note(study.comparison).replace("`", ""),
        "keys": _settings(study),
        "curves": _learning(study),
        "doses": _doses(study),
        "scatter": _scatter(study),
        "hardest": _hardest(study),
        "sheets": _sheets(study, megabytes * 1e6),
        "runs": run_rows(study, folder),
        "unfinished": [run for run in run_rows(study, folder) if run["status"] != FINISHED],
        "versions": version_rows(study),
        "warnings": warnings(study),
        "names": [(each.name, style(place)) for place, each in enumerate(study.configurations)],
    }


def _data(study: Study) -> str:
    """The data set, and the folder that it is in where that says more."""
    config = study.configurations[0].runs[0].config
    name, root = str(config.get("data.name", "?")), Path(str(config.get("data.root", ""))).name
    return name if root in ("", name) else f"{root} ({name})"


def headline(study: Study) -> tuple[str, str]:
    """Which configuration is best, and how sure that is, as a kind and a sentence."""
    rows, column = study.comparison.rows, study.comparison.column
    best = (min if lower_is_better(column) else max)(rows, key=lambda row: row.mean)
    spread = "" if best.std is None else f" ± {best.std:.4f}"
    if len(rows) == 1:
        return "alone", f"{best.name}: {column} {best.mean:.4f}{spread}"
    if best.versus is None:
        worse = sum(row.versus is not None and row.versus.verdict == "worse" for row in rows)
        others = f"{worse} of {len(rows) - 1} others are worse beyond chance"
        if worse == 0:
            others = "no other is worse beyond chance"
        elif len(rows) == 2:
            others = "the other is worse beyond chance"
        return "baseline", f"The baseline {best.name} has the best mean, {column} {best.mean:.4f}{spread}; {others}"
    says = {"better": "a difference beyond chance", "worse": "a difference beyond chance"}
    sure = says.get(best.versus.verdict, "no difference shown")
    return ("better" if sure in says.values() else "unsure"), (
        f"{best.name} has the best mean, {column} {best.mean:.4f}{spread}: {best.versus.difference:+.4f} to the "
        f"baseline {rows[0].name}, {sure} (p {p_text(best.versus.p_holm)})"
    )


def _rows(study: Study) -> list[dict[str, Any]]:
    rows = study.comparison.rows
    means = [_run_means(each) for each in study.configurations]
    ends = span([*(value for each in means for value in each), *(end for row in rows for end in row.interval or ())])
    found = []
    for place, (row, own, each) in enumerate(zip(rows, means, study.configurations, strict=True)):
        seeds = [str(run.seed) for run in each.runs if run.status == FINISHED]
        shown_row = {
            "row": row,
            "style": style(place),
            "seeds": ", ".join(seeds),
            "bar": interval_bar(row, own, ends, place),
            "interval": interval_text(row.interval),
            "versus_interval": interval_text(row.versus.interval, "+") if row.versus else "",
            "p": p_text(row.versus.p) if row.versus else "",
            "p_holm": p_text(row.versus.p_holm) if row.versus else "",
        }
        found.append(shown_row)
    return found


def _run_means(configuration: Configuration) -> list[float]:
    return [float(np.mean(list(run.evaluated.scores.values()))) for run in configuration.runs if run.evaluated]


def _settings(study: Study) -> dict[str, Any]:
    """The keys that differ, by short name, and the values of each configuration."""
    keys = [key for key in study.configurations[0].values if _set_anywhere(study, key)]
    rows = [[shown(key, each.values[key]) for key in keys] for each in study.configurations]
    short = short_keys(set(keys))
    return {"names": [(short[key], key) for key in keys], "rows": rows}


def _set_anywhere(study: Study, key: str) -> bool:
    return len({shown(key, each.values[key]) for each in study.configurations} - {ABSENT}) > 0


def _learning(study: Study) -> list[str]:
    charts = []
    for column in CURVES:
        listed = []
        for place, each in enumerate(study.configurations):
            runs = [run for run in each.runs if column in run.curves]
            titled = [
                (
                    f"{each.name}: seed {run.seed}{'' if run.status == FINISHED else f' ({run.status})'}",
                    run.curves[column],
                )
                for run in runs
            ]
            finished = [run.curves[column] for run in runs if run.status == FINISHED]
            listed.append(Curves(each.name, place, titled, finished))
        if any(each.runs for each in listed):
            charts.append(learning_chart([each for each in listed if each.runs], column))
    return charts


def _doses(study: Study) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """Key, chart and legend of each number that was swept."""
    charts = []
    for key, series in swept(study.configurations).items():
        listed = []
        for place, places in enumerate(series):
            values = [number(study.configurations[p].values[key]) or 0.0 for p in places]
            rows = [study.comparison.rows[p] for p in places]
            listed.append(Dose(_without(rows, key), place, values, rows))
        legend = [(each.name, style(each.style)) for each in listed] if len(listed) > 1 else []
        charts.append((key, dose_chart(listed, key, study.comparison.column), legend))
    return charts


def _without(rows: Sequence[Row], key: str) -> str:
    """What the names of rows have in common."""
    parts = [row.name.split(", ") for row in rows]
    return ", ".join(part for part in parts[0] if all(part in other for other in parts[1:])) or "the others"


def _by_image(study: Study) -> tuple[list[str], np.ndarray]:
    """The ids, sorted, and the scores [configurations, images], means over the seeds."""
    first = next(run.evaluated for run in study.configurations[0].runs if run.evaluated)
    ids = sorted(first.scores)
    scores = [
        np.mean([[run.evaluated.scores[name] for name in ids] for run in each.runs if run.evaluated], axis=0)
        for each in study.configurations
    ]
    return ids, np.array(scores)


def _scatter(study: Study) -> dict[str, Any] | None:
    if len(study.configurations) < 2:
        return None
    ids, scores = _by_image(study)
    kept = max(2, MOST_SCORES // len(ids))
    names, scores = [each.name for each in study.configurations][:kept], scores[:kept]
    axes = scatter_plot(*span(scores.ravel().tolist(), 0.03))
    first = {name: (float(a), float(b)) for name, a, b in zip(ids, scores[0], scores[1], strict=True)}
    difference = scores[1] - scores[0]
    return {
        "chart": scatter_chart(axes, first, names[0], names[1]),
        "left_out": len(study.configurations) - len(names),
        "up": int((difference > 0).sum()),
        "down": int((difference < 0).sum()),
        "mean": float(difference.mean()),
        "names": names,
        "data": {
            "names": names,
            "ids": ids,
            "scores": [[float(f"{value:.5g}") for value in row] for row in scores.tolist()],
            "axes": {axis: [a.low, a.high, a.start, a.end] for axis, a in {"x": axes.x, "y": axes.y}.items()},
        },
    }


def _hardest(study: Study) -> list[dict[str, Any]]:
    """The images with the worst mean over all configurations, and who did worst and best on each."""
    ids, scores = _by_image(study)
    sign = -1.0 if lower_is_better(study.comparison.column) else 1.0
    order = np.argsort(sign * scores.mean(axis=0), kind="stable")[:_HARDEST]
    names = [each.name for each in study.configurations]
    found = []
    for image in order.tolist():
        own = scores[:, image]
        best, worst = int(np.argmax(sign * own)), int(np.argmin(sign * own))
        pair = {"best": (own[best], names[best]), "worst": (own[worst], names[worst])}
        found.append({"id": ids[image], "mean": float(own.mean()), **pair})
    return found


def _sheets(study: Study, most: float) -> list[tuple[str, str, str]]:
    """Name, run and contact sheet of each configuration's first run that has one, while there is room."""
    found = []
    left = most if math.isfinite(most) else 0.0
    for each in study.configurations:
        for run in each.runs:
            if run.evaluated is None or (picture := _sheet(run.evaluated.folder / "contact_sheet.png")) is None:
                continue
            if (left := left - len(picture)) >= 0:
                found.append((each.name, f"seed {run.seed}", picture))
            break
    return found


def _sheet(path: Path) -> str | None:
    try:
        with Image.open(path) as image:
            return data_uri(image, _SIDE)
    except (OSError, ValueError, Image.DecompressionBombError):  # not there, or no picture
        return None
