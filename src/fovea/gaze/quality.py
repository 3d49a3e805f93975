"""How good a pseudo-mask is, where there are masks to tell."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from fovea.metrics.overlap import dice
from fovea.runtime.errors import FoveaError
from fovea.runtime.files import write_csv

INSIDE = "inside"
"""The key of the share of fixations that lie in the mask."""


def against_masks(
    heatmap: np.ndarray, refined: np.ndarray, mask: np.ndarray, thresholds: Sequence[float]
) -> dict[str, float]:
    """Dice of the thresholded heatmap and map, at native size.

    Args:
        heatmap: [H, W] in [0, 1], before the CRF.
        refined: [H, W] in [0, 1], after it.
        mask: [H, W], 0 is background.
        thresholds: those of the levels.

    Returns:
        `heatmap@<t>` and `map@<t>` for every threshold t.

    Raises:
        FoveaError: the mask's size is not the map's.
    """
    if not heatmap.shape == refined.shape == mask.shape:
        raise FoveaError(f"the mask is {mask.shape} pixels, the map {refined.shape}; replace the one that is wrong")
    maps = {"heatmap": heatmap, "map": refined}
    return {f"{name}@{t:g}": dice(values >= t, mask) for name, values in maps.items() for t in thresholds}


def fixations_inside(x: np.ndarray, y: np.ndarray, mask: np.ndarray) -> float:
    """Share of fixations whose pixel is in the mask.

    Args:
        x: [N] fractions of the width, N at least 1.
        y: [N] fractions of the height.
        mask: [H, W], 0 is background.
    """
    height, width = mask.shape
    rows = np.minimum((np.asarray(y) * height).astype(int), height - 1)
    columns = np.minimum((np.asarray(x) * width).astype(int), width - 1)
    return float(np.mean(mask[rows, columns] > 0))


def means(rows: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """The mean of every column over the images; `rows` holds one row of equal keys by image id, at least one."""
    table = [rows[image_id] for image_id in sorted(rows)]
    return {key: float(np.mean([row[key] for row in table])) for key in table[0]}


def write_quality(path: Path, rows: Mapping[str, Mapping[str, float]]) -> None:
    """Write one row an image, sorted by id: `id` and the keys of the rows, to six decimals."""
    keys = list(next(iter(rows.values()), {}))
    table = [[image_id, *(f"{rows[image_id][key]:.6f}" for key in keys)] for image_id in sorted(rows)]
    write_csv(path, ["id", *keys], table)
