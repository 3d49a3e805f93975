"""The HTML page of a report on runs: one file that needs nothing else, for the screen and for paper."""

import json
import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fovea.pictures.svg import alone, pdf, span
from fovea.report.budget import Budget
from fovea.report.charts import (
    Dose,
    Line,
    data_uri,
    dose_chart,
    interval_bar,
    learning_chart,
    scatter_axes,
    scatter_chart,
    style,
)
from fovea.report.comparison import interval_text, mean_text, note, p_text
from fovea.report.configurations import number, shared_name, short_keys, shown, swept
from fovea.report.runs import CURVES, FINISHED, LearningCurve
from fovea.report.study import Study, pooled, run_rows, version_rows, warnings
from fovea.runtime.files import write_bytes, write_json, write_text
from fovea.runtime.objective import lower_is_better
from fovea.runtime.templates import render

MOST_SCORES = 400_000  # of single images in the page, about 3 MB; with more, the last configurations are left out
_SHEET, _MOST_NAME = "contact_sheet.png", 60  # a name of a file has so many characters of its configuration
_HARDEST = 15  # images listed
_SIDE = 1300  # the longest side of a contact sheet, in pixels


def write_report_page(path: Path, report: Study, megabytes: float, budget: Budget | None = None) -> None:
    """Write the page, with at most so many megabytes of pictures. Equal arguments give equal bytes."""
    folder = os.path.commonpath([run.folder.absolute().parent for run in report.runs])
    runs = [row | {"folder": os.path.relpath(row["folder"], folder)} for row in run_rows(report)]
    config, keys = report.configurations[0].runs[0].config, list(report.configurations[0].values)
    name, root = str(config.get("data.name", "?")), Path(str(config.get("data.root", ""))).name
    content = {
        "comparison": report.comparison,
        "counts": Counter(run.status for run in report.runs),
        "data": name if root in ("", name) else f"{root} ({name})",
        "folder": folder,
        "headline": headline(report),
        "rows": _rows(report),
        "note": note(report.comparison).replace("`", ""),
        "settings": {
            "keys": short_keys({*keys}),
            "names": keys,
            "rows": [[shown(key, own.values[key]) for key in keys] for own in report.configurations],
        },
        "budget": budget,
        "curves": _learning(report),
        "doses": _doses(report),
        "scatter": _scatter(report),
        "hardest": _hardest(report),
        "sheets": _sheets(report, megabytes * 1e6),
        "runs": runs,
        "unfinished": [run for run in runs if run["status"] != FINISHED],
        "versions": version_rows(report),
        "warnings": warnings(report),
        "names": _legend(report),
    }
    template = Path(__file__).with_name("report.html.jinja")
    write_text(path, render(template, content, interval=interval_text, p=p_text))


def write_figures(out: Path, report: Study, budget: Budget | None = None, as_pdf: bool = False) -> None:
    """Write for a paper all charts as SVG, or also as PDF, and copy the contact sheet of each configuration.

    Those of an earlier report into `out` that this one does not have are removed; `figures.json` lists them.
    """
    charts = {"budget": (budget.chart, budget.legend)} if budget else {}
    charts |= {name: (chart, _legend(report)) for name, chart in _learning(report).items()}
    charts |= {f"{report.comparison.column}_{key}": drawn for key, drawn in _doses(report).items()}
    files: dict[str, bytes] = {}
    for name, (chart, legend) in charts.items():
        file, drawn = f"charts/{name.replace('/', '_')}", alone(chart, 560, 330, legend)
        files |= {f"{file}.svg": drawn.encode()} | ({f"{file}.pdf": pdf(drawn)} if as_pdf else {})
    for place, own in enumerate(report.configurations, start=1):
        sheets = [path for run in own.runs if run.evaluated and (path := run.evaluated.folder / _SHEET).is_file()]
        short = re.sub(r"[^\w.=,-]+", "_", own.name)[:_MOST_NAME]
        files |= {f"sheets/{place:02}_{short}.png": path.read_bytes() for path in sheets[:1]}
    listed = out / "figures.json"
    for name in _read_list(listed) - files.keys():
        if (out / name).resolve().is_relative_to(out.resolve()):
            (out / name).unlink(missing_ok=True)
    for name, content in files.items():
        write_bytes(out / name, content)
    write_json(listed, sorted(files))


def _read_list(path: Path) -> set[str]:
    try:
        return {str(name) for name in json.loads(path.read_bytes())}
    except (OSError, ValueError, TypeError):  # the first report here
        return set()


def _legend(report: Study) -> list[tuple[str, str]]:
    return [(own.name, style(place)) for place, own in enumerate(report.configurations)]


def headline(report: Study) -> tuple[str, str]:
    """Return which configuration is best and how sure that is, as a CSS class and a sentence."""
    rows, column = report.comparison.rows, report.comparison.column
    best = (min if lower_is_better(column) else max)(rows, key=lambda row: row.mean)
    figure = f"{column} {mean_text(best)}"
    if len(rows) == 1:
        return "alone", f"{best.name}: {figure}"
    if best.difference is None:
        worse = sum(row.verdict == "worse" for row in rows)
        others = f"others that are shown to be worse: {worse} of {len(rows) - 1}"
        return "baseline", f"The baseline {best.name} has the best mean, {figure}; {others}"
    sure = best.verdict in ("better", "worse")
    return "better" if sure else "unsure", (
        f"{best.name} has the best mean, {figure}: {best.difference:+.4f} to the baseline {rows[0].name}, "
        f"{'a difference between these trained networks' if sure else 'no difference shown'} (p {p_text(best.p_holm)})"
    )


def _rows(report: Study) -> list[dict[str, Any]]:
    rows = report.comparison.rows
    means = [[each.mean for each in report.evaluated[own.name]] for own in report.configurations]
    ends = [end for row in rows for end in (row.low, row.high) if end is not None]
    ends += [mean for own in means for mean in own]
    return [
        {
            "row": row,
            "style": style(place),
            "seeds": ", ".join(str(run.seed) for run in pooled(report.configurations[place].runs)),
            "bar": interval_bar(row, means[place], span(ends), place),
        }
        for place, row in enumerate(rows)
    ]


def _learning(report: Study) -> dict[str, str]:
    """Draw a thin line for each run and a strong one for the mean over the finished runs of a configuration."""
    charts = {}
    for column in CURVES:
        lines = []
        for place, own in enumerate(report.configurations):
            for run in (*own.runs, *own.unfinished):
                if column in run.curves:
                    status = "" if run.status == FINISHED else f" ({run.status})"
                    lines.append(Line(place, "run", f"{own.name}: seed {run.seed}{status}", *run.curves[column]))
            done = [run.curves[column] for run in own.runs if column in run.curves]
            if done and len((mean := mean_curve(done))[0]):
                lines.append(Line(place, "mean", f"{own.name}: mean", *mean))
        if lines:
            charts[column] = learning_chart(lines, column)
    return charts


def mean_curve(curves: Sequence[LearningCurve]) -> LearningCurve:
    """Return the mean of curves over the steps that all of them have reached, linear between their points."""
    low, high = max(x[0] for x, _ in curves), min(x[-1] for x, _ in curves)
    steps = np.unique(np.concatenate([x for x, _ in curves]))
    steps = steps[(steps >= low) & (steps <= high)]
    return steps, np.mean([np.interp(steps, x, y) for x, y in curves], axis=0)


def _doses(report: Study) -> dict[str, tuple[str, list[tuple[str, str]]]]:
    """Return the chart and the legend of each number that was swept."""
    charts = {}
    for key, series in swept(report.configurations).items():
        doses = []
        for place, places in enumerate(series):
            values = [number(report.configurations[p].values[key]) or 0.0 for p in places]
            rows = [report.comparison.rows[p] for p in places]
            doses.append(Dose(shared_name([row.name for row in rows]), place, values, rows))
        legend = [(dose.name, style(dose.style)) for dose in doses] if len(doses) > 1 else []
        charts[key] = dose_chart(doses, key, report.comparison.column), legend
    return charts


def _by_image(report: Study) -> tuple[list[str], np.ndarray]:
    """Return the sorted ids, and the scores [configurations, images] as means over the seeds."""
    grouped = [[each.scores for each in report.evaluated[own.name]] for own in report.configurations]
    ids = sorted(grouped[0][0])
    return ids, np.array([np.mean([[scores[i] for i in ids] for scores in own], axis=0) for own in grouped])


def _scatter(report: Study) -> dict[str, Any] | None:
    if len(report.configurations) < 2:
        return None
    ids, scores = _by_image(report)
    scores = scores[: max(2, MOST_SCORES // len(ids))]
    names = [own.name for own in report.configurations][: len(scores)]
    x, y = scatter_axes(*span(scores.ravel().tolist(), 0.03))
    first = {name: (float(a), float(b)) for name, a, b in zip(ids, scores[0], scores[1], strict=True)}
    difference = scores[1] - scores[0]
    return {
        "chart": scatter_chart(x, y, first, names[0], names[1]),
        "left_out": len(report.configurations) - len(names),
        "up": int((difference > 0).sum()),
        "down": int((difference < 0).sum()),
        "mean": float(difference.mean()),
        "data": {
            "names": names,
            "ids": ids,
            "scores": [[float(f"{value:.5g}") for value in row] for row in scores.tolist()],
            "axes": {name: [axis.low, axis.high, axis.start, axis.end] for name, axis in {"x": x, "y": y}.items()},
        },
    }


def _hardest(report: Study) -> list[dict[str, Any]]:
    """Return the images with the worst mean over all configurations, with the worst and the best configuration."""
    ids, scores = _by_image(report)
    sign = -1.0 if lower_is_better(report.comparison.column) else 1.0
    names = [own.name for own in report.configurations]
    images = []
    for image in np.argsort(sign * scores.mean(axis=0), kind="stable")[:_HARDEST].tolist():
        own = scores[:, image]
        best, worst = int(np.argmax(sign * own)), int(np.argmin(sign * own))
        pair = {"best": (own[best], names[best]), "worst": (own[worst], names[worst])}
        images.append({"id": ids[image], "mean": float(own.mean()), **pair})
    return images


def _sheets(report: Study, left: float) -> list[tuple[str, str, str]]:
    """Return name, run and contact sheet of each configuration's first run that has one, while bytes are left."""
    sheets = []
    for own in report.configurations:
        for run in own.runs:
            if run.evaluated is None or (picture := _sheet(run.evaluated.folder / _SHEET)) is None:
                continue
            if (left := left - len(picture)) >= 0:
                sheets.append((own.name, f"seed {run.seed}", picture))
            break
    return sheets


def _sheet(path: Path) -> str | None:
    try:
        with Image.open(path) as image:
            return data_uri(image, _SIDE)
    except (OSError, ValueError, Image.DecompressionBombError):  # missing, or not a picture
        return None
