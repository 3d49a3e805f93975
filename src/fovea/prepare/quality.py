"""How good gaze and pseudo-masks are, image by image: with masks to tell, or without."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from zlib import crc32

import numpy as np

from fovea.data.fixations import Fixations
from fovea.metrics.overlap import dice
from fovea.metrics.thresholds import GRID, Curve, dice_at, quantised
from fovea.runtime.files import write_csv

Rows = Mapping[str, Mapping[str, float]]
"""What `measure` found, by image id; rows of images without a mask lack the keys that need one."""

INSIDE = "inside"
"""The key of the share of fixations that lie in the mask; only rows of images with a mask have it."""

_SOURCES = ("heatmap", "map")
_CURVE = "curve_"


def measure(
    fixations: Fixations,
    heat: np.ndarray,
    refined: np.ndarray,
    thresholds: Sequence[float],
    mask: np.ndarray | None = None,
) -> dict[str, float]:
    """Everything that can be said of one image.

    Args:
        fixations: the usable ones, one at least.
        heat: the heatmap, [H, W] in [0, 1].
        refined: the map made of it, likewise.
        thresholds: those of the levels, the first of which decides coverage and agreement.
        mask: [H, W], 0 is background; None where there is none, or none should be opened.

    Returns:
        Always `fixations` (number), `seconds` (their durations' sum), `off_image` (share of the image's rows that lie
        beside it), `coverage` (share of the map at or above the first threshold), `dispersion` (standard distance of
        the fixations from their centre, in fractions of the sides) and `agreement` (Dice of heatmap and map at the
        first threshold). With a mask also the share of the fixations `inside`, the share of the map's highest pixels
        inside (`peak_inside`), `offset` (distance of the fixations' centre from the target's, in fractions of the
        sides), Dice of heatmap and map at every threshold t (`heatmap@<t>`, `map@<t>`), and the same for every t of
        `GRID` (`curve_heatmap@<t>`, `curve_map@<t>`).

    Raises:
        ValueError: heatmap, map and mask are not of one size.
    """
    if heat.shape != refined.shape or (mask is not None and mask.shape != refined.shape):
        found = "missing" if mask is None else mask.shape
        raise ValueError(f"heatmap {heat.shape}, map {refined.shape} and mask {found} differ; replace the wrong one")
    level = refined >= thresholds[0]
    row = {
        "fixations": float(len(fixations)),
        "seconds": float(fixations.duration.sum()) / 1000,
        "off_image": fixations.outside / max(len(fixations) + fixations.dropped, 1),
        "coverage": np.count_nonzero(level) / level.size,
        "dispersion": float(np.hypot(np.std(fixations.x), np.std(fixations.y))),
        "agreement": dice(heat >= thresholds[0], level),
    }
    return row if mask is None else row | _against(mask, fixations, [quantised(heat), quantised(refined)], thresholds)


def _against(
    mask: np.ndarray, fixations: Fixations, maps: Sequence[np.ndarray], thresholds: Sequence[float]
) -> dict[str, float]:
    peak = mask[maps[1] == maps[1].max()] > 0
    row = {
        INSIDE: fixations_inside(fixations.x, fixations.y, mask),
        "peak_inside": float(np.mean(peak)),
        "offset": centre_offset(fixations.x, fixations.y, mask),
    }
    names = [("", t) for t in thresholds] + [(_CURVE, t) for t in GRID]
    found: dict[str, float] = {}
    for source, levels in zip(_SOURCES, maps, strict=True):
        scores = dice_at(levels, mask, [t for _, t in names]).tolist()
        found |= {prefix + dice_key(source, t): score for (prefix, t), score in zip(names, scores, strict=True)}
    return row | dict(sorted(found.items(), key=lambda item: item[0].startswith(_CURVE)))  # the levels come first


def dice_key(source: str, threshold: float) -> str:
    """The key of a Dice: `heatmap@0.5`, `map@0.3`."""
    return f"{source}@{threshold:g}"


def fixations_inside(x: np.ndarray, y: np.ndarray, mask: np.ndarray) -> float:
    """Share of fixations whose pixel is in the mask.

    Args:
        x: [N] fractions of the width in [0, 1], N at least 1.
        y: [N] fractions of the height in [0, 1].
        mask: [H, W], 0 is background.
    """
    height, width = mask.shape
    rows = np.minimum((np.asarray(y) * height).astype(int), height - 1)
    columns = np.minimum((np.asarray(x) * width).astype(int), width - 1)
    return float(np.mean(mask[rows, columns] > 0))


def centre_offset(x: np.ndarray, y: np.ndarray, mask: np.ndarray) -> float:
    """Distance of the fixations' mean from the mask's centre of gravity, in fractions of the sides.

    Args:
        x: [N] fractions of the width, N at least 1.
        y: [N] fractions of the height.
        mask: [H, W], 0 is background; an empty one has its centre in the middle of the image.
    """
    weights = [np.count_nonzero(mask, axis=axis) if mask.any() else np.ones(mask.shape[1 - axis]) for axis in (0, 1)]
    centre = [np.average((np.arange(len(weight)) + 0.5) / len(weight), weights=weight) for weight in weights]
    return float(np.hypot(np.mean(x) - centre[0], np.mean(y) - centre[1]))


def drawn(ids: Iterable[str], count: int | None) -> list[str]:
    """The images whose masks are opened: `count` of the ids, or all of them where it is None; sorted.

    The draw depends on the ids alone, and another image changes it by one image at most.

    Raises:
        ValueError: the count is neither None nor a whole number from 1 on.
    """
    if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 1):
        raise ValueError(f"quality_masks: {count!r} is not possible; set a number of images, or null for all")
    return sorted(sorted(ids, key=lambda image_id: (crc32(os.fsencode(image_id)), image_id))[:count])


def means(rows: Rows) -> dict[str, float]:
    """The mean of every column but the curve's, over the images that have it, in the order of the columns."""
    return {key: float(np.mean(column(rows, key))) for key in keys(rows) if not key.startswith(_CURVE)}


def column(rows: Rows, key: str) -> np.ndarray:
    """[N]: the values of a key in the order of the ids, of the images that have it."""
    return np.array([rows[image_id][key] for image_id in sorted(rows) if key in rows[image_id]])


def keys(rows: Rows) -> list[str]:
    """All keys of the rows, in the order of the longest row: those that all images have come first."""
    return max((list(row) for row in rows.values()), key=len, default=[])


def curve(rows: Rows, source: str) -> Curve | None:
    """Dice of `heatmap` or `map` against threshold; None where no image has a mask."""
    table = [row for _, row in sorted(rows.items()) if INSIDE in row]
    if not table:
        return None
    return Curve(np.array(GRID), np.array([[row[_CURVE + dice_key(source, t)] for t in GRID] for row in table]))


def write_quality(path: Path, rows: Rows) -> None:
    """Write one row an image, sorted by id: `id` and the keys of the rows, to six decimals; a missing one is empty."""
    names = keys(rows)
    table = [[image_id, *(_cell(rows[image_id].get(name)) for name in names)] for image_id in sorted(rows)]
    write_csv(path, ["id", *names], table)


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}"
