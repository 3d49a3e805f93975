"""Quality of labels and maps for each image, with or without masks."""

import os
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from fovea.data.fixations import Fixations
from fovea.losses import IGNORE
from fovea.metrics.overlap import dice
from fovea.metrics.thresholds import GRID, Curve, dice_at, quantized
from fovea.runtime.files import describes, read_mapping, write_csv

Rows = Mapping[str, Mapping[str, float]]
"""The figures of `measure` by image ID; rows of images without a mask lack the keys that need one."""

INSIDE = "inside"  # key of the share of fixations inside the mask, which only rows of gaze on images with a mask have
BETWEEN = "between_observers"  # key of the agreement of observers, which only rows of images with several have
PROMPTS = "prompt_disagreement"
"""Key of the disagreement of the prompts of `refine=promptable`, which only rows of such maps have."""

_CURVE = "curve_"


def measure(
    annotation: Any, drawn: np.ndarray, refined: np.ndarray, thresholds: Sequence[float], mask: np.ndarray | None = None
) -> dict[str, float]:
    """Measure the quality of an annotation, of its map as drawn (for gaze the heatmap) and of the map refined from it.

    The maps are [H, W] in [0, 1]; of the mask, [H, W], 0 is background; two sizes are a ValueError. The thresholds
    are those of the levels.

    Returns:
        Always `coverage` (share of the map at or above the first threshold) and `agreement` (Dice of drawn and refined
        map at the first threshold). With a mask also the share of the highest pixels of the map inside
        (`peak_inside`), Dice of drawn and refined map at each threshold t (`label@<t>`, for gaze `heatmap@<t>`, and
        `map@<t>`), and the same for each t of `GRID` (`curve_label@<t>`, `curve_map@<t>`).

        Of gaze also `fixations` (their number), `seconds` (sum of their durations), `off_image` (share of the rows of
        the image that are outside it) and `dispersion` (standard distance of the fixations from their center, in
        fractions of the sides); with a mask the share of the fixations `inside` and `offset` (distance between the
        centers of fixations and target, in fractions of the sides).
    """
    gaze = annotation if isinstance(annotation, Fixations) else None
    source = "label" if gaze is None else "heatmap"
    if drawn.shape != refined.shape or (mask is not None and mask.shape != refined.shape):
        of_mask = "" if mask is None else f" and the mask {mask.shape}"
        raise ValueError(f"the {source} is {drawn.shape}, the map {refined.shape}{of_mask}; replace the wrong file")
    level = refined >= thresholds[0]
    row = {} if gaze is None else _of_gaze(gaze, mask)
    row |= {"coverage": np.count_nonzero(level) / level.size, "agreement": dice(drawn >= thresholds[0], level)}
    return row if mask is None else row | _against(mask, {source: drawn, "map": refined}, thresholds)


def _of_gaze(fixations: Fixations, mask: np.ndarray | None) -> dict[str, float]:
    row = {
        "fixations": float(len(fixations)),
        "seconds": float(fixations.duration.sum()) / 1000,
        "off_image": fixations.outside / max(len(fixations) + fixations.dropped, 1),
        "dispersion": float(np.hypot(np.std(fixations.x), np.std(fixations.y))),
    }
    if mask is not None:
        row[INSIDE] = fixations_inside(fixations.x, fixations.y, mask)
        row["offset"] = center_offset(fixations.x, fixations.y, mask)
    return row


def _against(mask: np.ndarray, maps: Mapping[str, np.ndarray], thresholds: Sequence[float]) -> dict[str, float]:
    grids = {source: quantized(values) for source, values in maps.items()}
    row = {"peak_inside": _share(mask[grids["map"] == grids["map"].max()])}
    for prefix, values in (("", thresholds), (_CURVE, GRID)):
        for source, levels in grids.items():
            scores = dice_at(levels, mask, values).tolist()
            row |= {prefix + dice_key(source, t): score for t, score in zip(values, scores, strict=True)}
    return row


def dice_key(source: str, threshold: float) -> str:
    """Return the key of a Dice, e.g. `heatmap@0.5`."""
    return f"{source}@{threshold:g}"


def fixations_inside(x: np.ndarray, y: np.ndarray, mask: np.ndarray) -> float:
    """Return the share of fixations, [N] fractions of the sides in [0, 1], with their pixel in the mask [H, W]."""
    sides = zip((y, x), mask.shape, strict=True)
    return _share(mask[tuple(np.minimum((np.asarray(at) * side).astype(int), side - 1) for at, side in sides)])


def _share(labels: np.ndarray) -> float:
    """Return the share of the foreground among labeled pixels, NaN without any."""
    labeled = labels[labels != IGNORE]
    return float(np.mean(labeled > 0)) if labeled.size else np.nan


def between_observers(heats: Sequence[np.ndarray]) -> float:
    """Return the mean Dice of the heatmaps of two observers at 0.5, over all pairs."""
    return float(np.mean([dice(one >= 0.5, other >= 0.5) for one, other in combinations(heats, 2)]))


def center_offset(x: np.ndarray, y: np.ndarray, mask: np.ndarray) -> float:
    """Return the distance between the centers of fixations [N] and target, all in fractions of the sides.

    The target is the foreground of the mask [H, W]; of a mask without foreground, it is the whole image.
    """
    target = mask > 0 if (mask > 0).any() else np.ones(mask.shape)
    weights = [np.sum(target, axis=axis) for axis in (0, 1)]
    center = [np.average((np.arange(len(weight)) + 0.5) / len(weight), weights=weight) for weight in weights]
    return float(np.hypot(np.mean(x) - center[0], np.mean(y) - center[1]))


def drawn(ids: Iterable[str], count: int | None) -> list[str]:
    """Return the sorted IDs of the images with a mask to open: `count` of them, or all if it is None.

    The draw depends only on the IDs, and one more image changes it by one image at most.
    """
    return sorted(sorted(ids, key=lambda image_id: (crc32(os.fsencode(image_id)), image_id))[:count])


def means(rows: Rows) -> dict[str, float]:
    """Return the mean of every column except the curve's, over the images that have it, in the order of the columns."""
    return {key: float(np.mean(column(rows, key))) for key in _keys(rows) if not key.startswith(_CURVE)}


def column(rows: Rows, key: str) -> np.ndarray:
    """Return the values of a key, [N], for the images that have it in the order of their IDs, without NaN."""
    values = np.array([rows[image_id][key] for image_id in sorted(rows) if key in rows[image_id]])
    return values[~np.isnan(values)]


def curve(rows: Rows, source: str) -> Curve | None:
    """Return Dice of `heatmap`, `label` or `map` against threshold; None if no image has a mask."""
    table = [row for _, row in sorted(rows.items()) if _CURVE + dice_key(source, GRID[0]) in row]
    scores = [[row[_CURVE + dice_key(source, t)] for t in GRID] for row in table]
    return Curve(np.array(GRID), np.array(scores)) if scores else None


def validations(table: Path) -> list[str]:
    """Return one line for each validation of the eye tracker, in degrees, if `fovea-import` wrote this table."""
    about = table.with_suffix(".import.json")
    recordings = read_mapping(about).get("recordings", []) if describes(about, table) else []
    lines = []
    for recording in recordings:
        for found in recording.get("validation", ()):
            eye, quality = (f" {found[key]}" if found.get(key) else "" for key in ("eye", "quality"))
            errors = [f"{key} {found[key]}°" for key in ("average", "maximum") if found.get(key) is not None]
            lines.append(f"{recording['file']}{eye}: {' '.join(errors)}{quality}")
    return lines


def write_quality(path: Path, rows: Rows) -> None:
    """Write one row for each image, sorted by ID, with six decimals; a missing figure is an empty cell."""
    names = _keys(rows)
    table = [
        [image_id, *(f"{row[name]:.6f}" if name in row else "" for name in names)]
        for image_id, row in sorted(rows.items())
    ]
    write_csv(path, ["id", *names], table)


def _keys(rows: Rows) -> list[str]:
    """Return all keys, in the order of the longest rows."""
    return list(dict.fromkeys(key for row in sorted(rows.values(), key=len, reverse=True) for key in row))
