"""The page of a quality report: one HTML file that needs nothing else, for the screen and for paper."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fovea.data.fixations import Fixations
from fovea.metrics.thresholds import Curve
from fovea.pictures.overlay import TRUTH, outline, overlay
from fovea.pictures.panels import fixation_panel, map_panel
from fovea.prepare.job import View
from fovea.prepare.quality import INSIDE, Rows, column, curve, dice_key
from fovea.prepare.verdict import Survey
from fovea.report.charts import curve_chart, histogram
from fovea.report.pages import data_uri, render
from fovea.runtime.files import write_text

MAX_ROWS = 1000
"""Rows in the page's table; of a larger set those that need a look most."""

_EXAMPLES = 6  # worst images, and as many best
_SIDE = 288  # of an embedded picture, in pixels: sharp at the size it is shown, about 10 kB
_NAMES = 200  # ids listed of the images that have no map

_COLUMNS = {
    "inside": ("inside", "share of the fixations in the target"),
    "peak_inside": ("peak", "share of the map's highest pixels in the target"),
    "offset": ("offset", "distance of the fixations' centre from the target's, in fractions of the image"),
    "fixations": ("fixations", "usable fixations"),
    "seconds": ("seconds", "sum of their durations"),
    "coverage": ("coverage", "share of the map at or above the first level"),
    "dispersion": ("dispersion", "standard distance of the fixations from their centre, in fractions of the image"),
    "off_image": ("off image", "share of the fixations beside the image"),
    "agreement": ("agreement", "Dice of heatmap and map at the first level: 1 where the refinement changed nothing"),
}

Pictures = Callable[[str], Mapping[str, np.ndarray]]
"""From an image's id to its pictures by title, uint8 RGB [H, W, 3]; ValueError where its files are gone."""


def write_quality_page(
    path: Path, survey: Survey, view: Callable[[str], View], parameters: Mapping[str, object]
) -> None:
    """The page of `fovea-prepare`: `write_page` with the pictures of what the stage made."""

    def pictures(image_id: str) -> dict[str, np.ndarray]:
        seen = view(image_id)
        return quality_pictures(seen.image, seen.fixations, seen.heat, seen.refined, survey.thresholds[0], seen.mask)

    write_page(path, survey, pictures, parameters)


def write_page(path: Path, survey: Survey, pictures: Pictures, parameters: Mapping[str, object]) -> None:
    """Write the page. Equal arguments give equal bytes; whatever comes from outside is escaped.

    Args:
        path: the HTML file; it is whole or absent.
        survey: what was measured.
        pictures: of the worst and best images, see `quality_pictures`.
        parameters: of the maps, by configuration key.

    Raises:
        ValueError: the file cannot be written.
    """
    content = _content(survey, pictures) | {"parameters": parameters}
    write_text(path, render("quality.html.jinja", content))


def quality_pictures(
    image: np.ndarray,
    fixations: Fixations,
    heat: np.ndarray,
    refined: np.ndarray,
    threshold: float,
    mask: np.ndarray | None,
) -> dict[str, np.ndarray]:
    """The pictures of one image by title: fixations, heatmap (unless it is the map), map, first level on the image.

    Args:
        image: uint8 [H, W, 1 or 3].
        fixations: those on it.
        heat: [H, W] in [0, 1].
        refined: [H, W] in [0, 1].
        threshold: of the first level.
        mask: [H, W], outlined in yellow on every picture; None where none was opened.
    """
    rgb = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
    truth = None if mask is None else mask > 0
    titled = {"fixations": fixation_panel(rgb, fixations.x, fixations.y, fixations.duration)}
    if not np.allclose(heat, refined, atol=1e-4):  # a step of the store is less
        titled["heatmap"] = map_panel(heat)
    titled["map"] = map_panel(refined)
    if truth is not None:
        for picture in titled.values():
            outline(picture, truth, TRUTH)
    return titled | {f"level {threshold:g}": overlay(rgb, refined >= threshold, truth)}


def ranking(survey: Survey) -> list[str]:
    """The ids from the worst image to the best: by Dice of the map at the first level, images without a mask last.

    Without any mask the most scattered gaze comes first.
    """
    key = dice_key("map", survey.thresholds[0])
    rows = survey.rows
    if survey.masks:
        return sorted(rows, key=lambda image_id: (rows[image_id].get(key, 2.0), image_id))
    return sorted(rows, key=lambda image_id: (-rows[image_id]["dispersion"], image_id))


def _content(survey: Survey, pictures: Pictures) -> dict[str, Any]:
    order = ranking(survey)
    rankable = order[: survey.masks] if survey.masks else order
    count = min(_EXAMPLES, (len(rankable) + 1) // 2)
    columns = _columns(survey)
    return {
        "survey": survey,
        "verdict": survey.verdict(),
        "tiles": _tiles(survey),
        "levels": _levels(survey),
        "histograms": _histograms(survey),
        "worst": _examples(rankable[:count], survey, pictures),
        "best": _examples(rankable[::-1][: min(count, len(rankable) - count)], survey, pictures),
        "columns": columns,
        "ids": order[:MAX_ROWS],
        "cells": {image_id: _cells(survey.rows[image_id], columns) for image_id in order[:MAX_ROWS]},
        "names": _NAMES,
    }


def _columns(survey: Survey) -> dict[str, tuple[str, str]]:
    """Label and explanation of each column of the table, by key."""
    dice = {
        dice_key(source, t): (dice_key(source, t), f"Dice of the {source} at {t:g} with the mask")
        for source in ("map", "heatmap")
        for t in survey.thresholds
    }
    known = column(survey.rows, INSIDE).size > 0
    with_masks = dice | {key: _COLUMNS[key] for key in ("inside", "peak_inside", "offset")} if known else {}
    return with_masks | {key: value for key, value in _COLUMNS.items() if key not in (INSIDE, "peak_inside", "offset")}


def _cells(row: Mapping[str, float], columns: Mapping[str, object]) -> list[str]:
    return [_number(key, row[key]) if key in row else "" for key in columns]


def _number(key: str, value: float) -> str:
    return f"{value:.{ {'fixations': 0, 'seconds': 1}.get(key, 3) }f}"


def _tiles(survey: Survey) -> dict[str, list[tuple[str, str, str]]]:
    """Label, value and remark of the leading figures, by heading."""
    rows = survey.rows
    mean = {key: float(column(rows, key).mean()) for key in _columns(survey)}
    gaze = [
        ("fixations", f"{mean['fixations']:.1f}", "an image"),
        ("looked at", f"{mean['seconds']:.1f} s", "an image"),
        ("off image", f"{survey.off_image:.1%}", "of all fixations"),
        ("empty", f"{len(survey.empty)}", f"of {survey.images} images"),
        ("dispersion", f"{mean['dispersion']:.3f}", "of the image"),
        ("coverage", f"{mean['coverage']:.1%}", "of the image"),
        ("agreement", f"{mean['agreement']:.3f}", "heatmap and map"),
    ]
    if not survey.masks:
        return {"Gaze": gaze}
    refined = mean["agreement"] < 1  # without a refinement the heatmap is the map
    dice = [
        (f"{source} at {t:g}", f"{mean[dice_key(source, t)]:.3f}", "Dice")
        for source in (("map", "heatmap") if refined else ("map",))
        for t in survey.thresholds
    ]
    target = [
        ("inside", f"{mean[INSIDE]:.1%}", "of the fixations"),
        ("peak inside", f"{mean['peak_inside']:.1%}", "of the maps"),
        ("offset", f"{mean['offset']:.3f}", "of the image"),
    ]
    return {"Against the masks": dice + target, "Gaze": gaze}


def _levels(survey: Survey) -> dict[str, Any] | None:
    refined, heat = (curve(survey.rows, source) for source in ("map", "heatmap"))
    if refined is None or heat is None:
        return None
    same = bool(np.array_equal(refined.dice, heat.dice))
    curves: dict[str, Curve] = {"map": refined} if same else {"map": refined, "heatmap": heat}
    table = zip(refined.thresholds.tolist(), refined.mean.tolist(), heat.mean.tolist(), strict=True)
    levels = [column(survey.rows, dice_key("map", t)) for t in survey.thresholds]
    used = {t: float(dice.mean()) for t, dice in zip(survey.thresholds, levels, strict=True)}
    return {
        "chart": curve_chart(curves, survey.thresholds),
        "best": refined.best(),
        "plateau": refined.plateau(),
        "pair": refined.best_pair(),
        "heatmap": None if same else heat.best(),
        "used": used,
        "together": float(np.max(levels, axis=0).mean()),
        "table": list(table),
    }


def _histograms(survey: Survey) -> list[tuple[str, str]]:
    """Title and chart of what tells most; published figures are marked where there are any."""
    rows = survey.rows
    marks = {
        INSIDE: {"webcam": 0.17, "EyeLink": 0.90},
        "offset": {"EyeLink": 0.041, "webcam": 0.267},
    }
    first = dice_key("map", survey.thresholds[0])
    spans = {first: (0.0, 1.0), INSIDE: (0.0, 1.0), "offset": (0.0, 0.5)} if survey.masks else {}
    spans |= {key: (0.0, _round_up(column(rows, key).max())) for key in ("fixations", "seconds")}
    spans |= {"dispersion": (0.0, 0.5), "coverage": (0.0, 0.5)}
    if not survey.masks:
        spans |= {"off_image": (0.0, 1.0), "agreement": (0.0, 1.0)}
    names = _columns(survey)
    return [
        (names[key][0], histogram(column(rows, key), low, high, marks.get(key, {})))
        for key, (low, high) in spans.items()
    ]


def _round_up(value: float) -> float:
    """The next 1, 2 or 5 times a power of ten: a round end of an axis."""
    power = 10.0 ** np.floor(np.log10(max(value, 1.0)))
    return float(next(step * power for step in (1, 2, 5, 10) if step * power >= value))


def _examples(ids: Sequence[str], survey: Survey, pictures: Pictures) -> list[dict[str, Any]]:
    shown = []
    for image_id in ids:
        try:
            titled = pictures(image_id)
        except ValueError:
            continue  # its files were taken away since it was measured; the figures are in the table
        images = [(title, data_uri(Image.fromarray(picture), _SIDE)) for title, picture in titled.items()]
        shown.append({"id": image_id, "facts": _facts(survey.rows, image_id, survey.thresholds), "images": images})
    return shown


def _facts(rows: Rows, image_id: str, thresholds: Sequence[float]) -> str:
    row = rows[image_id]
    always = f"{row['fixations']:.0f} fixations, {row['seconds']:.1f} s"
    if INSIDE not in row:
        return f"dispersion {row['dispersion']:.2f}, {always}"
    dice = ", ".join(f"{row[dice_key('map', t)]:.2f} at {t:g}" for t in thresholds)
    return f"Dice {dice}; {row[INSIDE]:.0%} inside, offset {row['offset']:.2f}; {always}"
