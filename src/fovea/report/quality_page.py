"""The page about the quality of labels and maps: one HTML file that needs nothing else, for screen and paper."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fovea.data.fixations import Fixations
from fovea.pictures.overlay import TRUTH, outline, overlay
from fovea.pictures.panels import fixation_panel, map_panel
from fovea.pictures.svg import round_up
from fovea.prepare.quality import BETWEEN, INSIDE, PROMPTS, column, curve, dice_key
from fovea.prepare.verdict import PUBLISHED, Survey
from fovea.report.charts import curve_chart, data_uri, histogram
from fovea.runtime.files import write_text
from fovea.runtime.templates import render

MAX_ROWS = 1000  # in the table of the page; a larger data set shows only the images that most need a look
_EXAMPLES = 6  # worst images, and as many best
_SIDE = 288  # of an embedded picture, in pixels: sharp as shown, about 10 kB
_NAMES = 200  # IDs listed of the images that have no map

_FIGURES = {
    "inside": ("inside", "share of the fixations in the target"),
    "peak_inside": ("peak", "share of the highest pixels of the map in the target"),
    "offset": ("offset", "distance between the centers of fixations and target, in fractions of the image"),
    "fixations": ("fixations", "usable fixations"),
    "seconds": ("seconds", "sum of their durations"),
    "coverage": ("coverage", "share of the map at or above the first level"),
    "dispersion": ("dispersion", "standard distance of the fixations from their center, in fractions of the image"),
    "off_image": ("off image", "share of the fixations outside the image"),
    "agreement": ("agreement", "Dice of label and map at the first level: 1 if the refinement changed nothing"),
    BETWEEN: ("between observers", "Dice of the heatmaps of two observers at 0.5, mean over all pairs"),
    PROMPTS: ("prompts differ", "1 - intersection / union of the foreground of all prompts"),
}

View = Callable[[str], tuple[np.ndarray, Any, np.ndarray, np.ndarray, np.ndarray | None]]
"""From an image ID to image, annotation, drawn map, refined map and mask; ValueError if a file is missing."""


def write_quality_page(path: Path, survey: Survey, view: View, parameters: Mapping[str, object]) -> None:
    """Write the page. `view` reads what is shown of images; `parameters` are those of the maps, by configuration key.

    Equal arguments give equal bytes; everything that comes from outside is escaped.
    """
    order = ranking(survey)
    rankable = order[: survey.masks] if survey.masks else order
    count = min(_EXAMPLES, (len(rankable) + 1) // 2)
    columns = _columns(survey)
    content = {
        "survey": survey,
        "verdict": survey.verdict(),
        "mean": {key: float(column(survey.rows, key).mean()) for key in columns},
        "levels": _levels(survey),
        "histograms": _histograms(survey),
        "worst": _examples(rankable[:count], survey, view),
        "best": _examples(rankable[::-1][: min(count, len(rankable) - count)], survey, view),
        "columns": columns,
        "ids": order[:MAX_ROWS],
        "names": _NAMES,
        "parameters": parameters,
    }
    write_text(path, render(Path(__file__).with_name("quality.html.jinja"), content))


def pictures(
    image: np.ndarray,
    annotation: Any,
    drawn: np.ndarray,
    refined: np.ndarray,
    mask: np.ndarray | None,
    threshold: float,
) -> dict[str, np.ndarray]:
    """Return pictures of one image by title: fixations, heatmap (unless it is the map), map, first level on the image.

    Of labels other than gaze: image, label, map, first level. The image is uint8 [H, W, 1 or 3], the maps are [H, W] in
    [0, 1]. A mask is outlined on every picture.
    """
    rgb = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
    truth = None if mask is None else mask > 0
    if gaze := isinstance(annotation, Fixations):
        titled = {"fixations": fixation_panel(rgb, annotation.by_observer())}
    else:
        titled = {"image": rgb.copy()}
    if not np.allclose(drawn, refined, atol=1e-4):  # a step of the store is less
        titled["heatmap" if gaze else "label"] = map_panel(drawn)
    titled["map"] = map_panel(refined)
    if truth is not None:
        for picture in titled.values():
            outline(picture, truth, TRUTH)
    return titled | {f"level {threshold:g}": overlay(rgb, refined >= threshold, truth)}


def ranking(survey: Survey) -> list[str]:
    """Return the IDs from the worst image to the best: by Dice of the map at the first level, without a mask last.

    Without any mask the most scattered gaze comes first, or the label that the refinement changed most.
    """
    key = dice_key("map", survey.thresholds[0])
    rows = survey.rows
    if survey.masks:
        return sorted(rows, key=lambda image_id: (rows[image_id].get(key, 2.0), image_id))
    return sorted(
        rows, key=lambda image_id: (-rows[image_id].get("dispersion", 1 - rows[image_id]["agreement"]), image_id)
    )


def _columns(survey: Survey) -> dict[str, tuple[str, str]]:
    """Return label and explanation of each column of the table, by key."""
    measured = {key for row in survey.rows.values() for key in row}
    dice = [(source, t) for source in ("map", survey.source) for t in survey.thresholds] if survey.masks else []
    columns = {dice_key(*each): f"Dice of the {each[0]} at {each[1]:g} with the mask" for each in dice}
    return {key: (key, text) for key, text in columns.items()} | {
        key: column for key, column in _FIGURES.items() if key in measured
    }


def _levels(survey: Survey) -> dict[str, Any] | None:
    """Return the curve and the best thresholds; None without masks."""
    refined, drawn = (curve(survey.rows, source) for source in ("map", survey.source))
    if refined is None or drawn is None:
        return None
    same = bool(np.array_equal(refined.dice, drawn.dice))
    levels = {t: column(survey.rows, dice_key("map", t)) for t in survey.thresholds}
    return {
        "chart": curve_chart({"map": refined} if same else {"map": refined, survey.source: drawn}, survey.thresholds),
        "best": refined.best(),
        "plateau": refined.plateau(),
        "pair": refined.best_pair(),
        "drawn": None if same else drawn.best(),
        "used": {t: float(dice.mean()) for t, dice in levels.items()},
        "together": float(np.max(list(levels.values()), axis=0).mean()),
        "table": list(zip(refined.thresholds.tolist(), refined.mean.tolist(), drawn.mean.tolist(), strict=True)),
    }


def _histograms(survey: Survey) -> list[tuple[str, str]]:
    """Return title and chart of the main figures; published values are marked."""
    first = dice_key("map", survey.thresholds[0])
    spans = {first: (0.0, 1.0), INSIDE: (0.0, 1.0), "offset": (0.0, 0.5)} if survey.masks else {}
    if survey.gaze:
        largest = {key: float(column(survey.rows, key).max()) for key in ("fixations", "seconds")}
        spans |= {key: (0.0, round_up(max(value, 1.0))) for key, value in largest.items()}
    spans |= {"dispersion": (0.0, 0.5), "coverage": (0.0, 0.5)}
    if not (survey.masks and survey.gaze):
        spans |= {"off_image": (0.0, 1.0), "agreement": (0.0, 1.0)}
    titles = _columns(survey)
    marks = {key: dict(zip(("webcam", "EyeLink"), values, strict=True)) for key, values in PUBLISHED.items()}
    return [
        (titles[key][0], histogram(column(survey.rows, key), low, high, marks.get(key, {})))
        for key, (low, high) in spans.items()
        if key in titles
    ]


def _examples(ids: Sequence[str], survey: Survey, view: View) -> dict[str, dict[str, str]]:
    """Return the pictures of images, as data URIs by title."""
    shown = {}
    for image_id in ids:
        with suppress(ValueError):  # its files were deleted since it was measured; the figures are in the table
            titled = pictures(*view(image_id), survey.thresholds[0])
            shown[image_id] = {title: data_uri(Image.fromarray(each), _SIDE) for title, each in titled.items()}
    return shown
