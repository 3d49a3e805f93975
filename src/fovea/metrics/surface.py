"""Distances between the borders of two masks."""

import math
from collections.abc import Sequence

import numpy as np
from scipy.ndimage import binary_erosion, find_objects
from scipy.spatial import KDTree

from fovea.metrics.overlap import without_ignored

_SLACK = 1e-5  # relative, of the tolerance: an affine that is rotated gives a spacing of 1.0000001


def surface_scores(
    prediction: np.ndarray, truth: np.ndarray, spacing: Sequence[float], tolerance: float
) -> dict[str, float]:
    """Return the 95 % Hausdorff distance and the surface Dice of a pair of masks.

    `hd95` is the greater of the two directed 95th percentiles: of the distances from the predicted border to the true
    one, and from the true border to the predicted one (as in MONAI; the percentile of all distances together would be
    smaller or equal). `surface_dice` is the share of the pixels of both borders within the tolerance of the other
    border (Nikolov et al., "Clinically Applicable Segmentation of Head and Neck Anatomy", JMIR 2021), every pixel
    counted once.

    Two empty masks have distance 0 and surface Dice 1. One empty mask gives the image's diagonal and 0.

    The masks are bool or integers [H, W] or [D, H, W]; every value but 0 is foreground. Where the truth is -1, both
    count as background, so a border follows the unlabeled area. `spacing` has the sides of a pixel or voxel; the
    tolerance and the result are in its unit.
    """
    prediction, truth = (mask.astype(bool) for mask in without_ignored(prediction, truth))
    if not prediction.any() and not truth.any():
        return {"hd95": 0.0, "surface_dice": 1.0}
    if not prediction.any() or not truth.any():
        return {"hd95": math.hypot(*np.multiply(truth.shape, spacing)), "surface_dice": 0.0}
    predicted, true = border(prediction) * spacing, border(truth) * spacing
    # A border has few pixels: a nearest-neighbor search takes at most half the time of distance transforms.
    forth, back = KDTree(true).query(predicted)[0], KDTree(predicted).query(true)[0]
    limit = tolerance * (1 + _SLACK)
    within = np.count_nonzero(forth <= limit) + np.count_nonzero(back <= limit)
    return {
        "hd95": max(float(np.percentile(forth, 95)), float(np.percentile(back, 95))),
        "surface_dice": float(within / (len(forth) + len(back))),
    }


def border(mask: np.ndarray) -> np.ndarray:
    """Return the coordinates [N, axes] of the pixels of a mask that share a side with a pixel outside it.

    The mask is bool, [H, W] or [D, H, W]. Everything beyond the image is outside: where the image cuts a lesion, the
    border follows the edge of the image.
    """
    if not (boxes := find_objects(mask.view(np.uint8))):
        return np.empty((0, mask.ndim), np.intp)
    inside = mask[boxes[0]]
    return np.argwhere(inside & ~binary_erosion(inside)) + [side.start for side in boxes[0]]
