"""Scores by the size of what was to be found."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from fovea.losses import IGNORE


def lesion_size(truth: np.ndarray) -> float:
    """Return the share of the labeled pixels that are foreground, in [0, 1]; 0 without a labeled pixel."""
    labeled = int(np.count_nonzero(truth != IGNORE))
    return int(np.count_nonzero(truth > 0)) / labeled if labeled else 0.0


def by_size(sizes: Sequence[float], scores: Sequence[float], bounds: Sequence[float] | None) -> dict[str, Any]:
    """Number and mean score of the images by the size of their lesion; those without one apart.

    Args:
        sizes: Share of each image, in [0, 1].
        scores: Score of each image.
        bounds: Rising bounds between the bins, in (0, 1); None: thirds of the images that have a lesion.

    Returns:
        `empty`, {`n`, `mean`} of the images without a lesion, and `bins`, from small to large, {`above`, `up_to`, `n`,
        `mean`} of the sizes in (`above`, `up_to`]. The mean of no image is None.
    """
    size, score = np.asarray(sizes, np.float64), np.asarray(scores, np.float64)
    if bounds is None:
        there = size[size > 0]
        bounds = np.quantile(there, [1 / 3, 2 / 3]).tolist() if len(there) else []
    edges = [0.0, *bounds, 1.0]
    bins = [
        {"above": above, "up_to": up_to} | _mean(score[(size > above) & (size <= up_to)])
        for above, up_to in pairwise(edges)
    ]
    return {"empty": _mean(score[size == 0]), "bins": bins}


def _mean(values: np.ndarray) -> dict[str, Any]:
    return {"n": len(values), "mean": float(values.mean()) if len(values) else None}
