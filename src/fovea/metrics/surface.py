"""How far the borders of two binary masks lie apart."""

import math
from collections.abc import Sequence

import numpy as np
from scipy.ndimage import binary_erosion
from scipy.spatial import KDTree

NAMES = ("hd95", "surface_dice")
"""The keys of `surface_scores`, in the order of a table's columns."""


def surface_scores(
    prediction: np.ndarray, truth: np.ndarray, spacing: Sequence[float], tolerance: float
) -> dict[str, float]:
    """The 95 % Hausdorff distance and the surface Dice of a pair of masks.

    `hd95` is the greater of the two directed 95th percentiles: of the distances from the predicted border to the true
    one, and from the true to the predicted (as in MONAI; the percentile of both together would be smaller or equal).
    `surface_dice` is the share of the pixels of both borders that lie within the tolerance of the other (Nikolov et
    al., "Clinically Applicable Segmentation of Head and Neck Anatomy", JMIR 2021), each pixel counted once.

    A pair of empty masks has distance 0 and surface Dice 1; where one is empty they are the image's diagonal and 0.

    Args:
        prediction: bool or integers [H, W] or [D, H, W]; what is not 0 is foreground.
        truth: the same shape.
        spacing: the sides of a pixel or voxel, in the unit of the result.
        tolerance: distance at which two borders still agree, in the same unit.
    """
    prediction, truth = prediction.astype(bool), truth.astype(bool)
    if not prediction.any() and not truth.any():
        return {"hd95": 0.0, "surface_dice": 1.0}
    if not prediction.any() or not truth.any():
        return {"hd95": math.hypot(*np.multiply(truth.shape, spacing)), "surface_dice": 0.0}
    ours, theirs = border(prediction) * spacing, border(truth) * spacing
    # Borders are few pixels: looking up the nearest takes half the time of distance transforms or less.
    there, back = KDTree(theirs).query(ours)[0], KDTree(ours).query(theirs)[0]
    within = np.count_nonzero(there <= tolerance) + np.count_nonzero(back <= tolerance)
    return {
        "hd95": max(float(np.percentile(there, 95)), float(np.percentile(back, 95))),
        "surface_dice": float(within / (len(there) + len(back))),
    }


def border(mask: np.ndarray) -> np.ndarray:
    """Coordinates [N, axes] of the pixels of a mask that have a side in common with something outside it.

    Beyond the image is outside: where its edge cuts a lesion, the border follows the edge.

    Args:
        mask: bool [H, W] or [D, H, W].
    """
    axes = range(mask.ndim)
    occupied = [np.flatnonzero(mask.any(axis=tuple(other for other in axes if other != axis))) for axis in axes]
    if not len(occupied[0]):
        return np.empty((0, mask.ndim), np.intp)
    inside = mask[tuple(slice(places[0], places[-1] + 1) for places in occupied)]
    return np.argwhere(inside & ~binary_erosion(inside)) + np.array([places[0] for places in occupied])
