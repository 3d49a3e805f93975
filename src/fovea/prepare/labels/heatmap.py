"""The heatmap of fixations."""

from functools import lru_cache

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d

_FAINT = 0.5  # below this range, as a share of the maximum, float32 is not exact enough


def heatmap(
    x: np.ndarray, y: np.ndarray, duration: np.ndarray, size: tuple[int, int], canvas: int = 768, sigma: float = 70.0
) -> np.ndarray:
    """Draw fixations as a heatmap: durations on a square canvas, Gaussian filter, min-max, bicubic resize.

    Zhong et al., *Weakly-supervised Medical Image Segmentation with Gaze Annotations*, MICCAI 2024
    (arXiv 2407.07406). A separable filter of a few points is a matrix product: with `A[i, j]` the response at i to a
    unit impulse at j, the heat is `A[:, ys] diag(duration) A[:, xs]^T`, within 1e-5 of the filter itself.

    Args:
        x: [N] fractions of the width, 0 is left and 1 is right.
        y: [N] fractions of the height, 0 is top and 1 is bottom.
        duration: [N] milliseconds.
        size: Height and width of the image in pixels.
        canvas: Side of the canvas in pixels.
        sigma: Standard deviation of the Gaussian in pixels of the canvas.

    Returns:
        float32 [H, W] in [0, 1]; zeros if all places are alike (no fixation, no duration).

    A ValueError if the three arrays differ in length, or have other values.
    """
    if not len(x) == len(y) == len(duration):
        raise ValueError(f"x, y and duration must have one length, got {len(x)}, {len(y)} and {len(duration)}")
    for name, values, most, bounds in (
        ("x", x, 1, "in [0, 1]"),
        ("y", y, 1, "in [0, 1]"),
        ("duration", duration, np.finfo(float).max, "finite and at least 0"),
    ):
        if wrong := [value for value in values if not 0 <= value <= most]:
            raise ValueError(f"{name} must be {bounds}, got {wrong[0]:g}")
    points = _pixels(y, canvas), _pixels(x, canvas), np.asarray(duration, np.float64)
    heat = _product(*points, _impulse_responses(canvas, sigma, np.float32))
    lowest, highest = heat.min(), heat.max()
    if highest - lowest < _FAINT * highest:  # rounding would be visible
        heat = _product(*points, _impulse_responses(canvas, sigma, np.float64))
        lowest, highest = heat.min(), heat.max()
    if highest - lowest <= 1e-6 * highest:  # flat, except for rounding and the cut tail of the filter
        return np.zeros(size, np.float32)
    heat -= lowest
    heat *= 1 / (highest - lowest)
    heat = heat.astype(np.float32, copy=False)
    height, width = size
    if (height, width) != heat.shape:
        heat = cv2.resize(heat, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(heat, 0.0, 1.0, out=heat)


def _product(rows: np.ndarray, columns: np.ndarray, duration: np.ndarray, response: np.ndarray) -> np.ndarray:
    return (response[rows].T * duration.astype(response.dtype)) @ response[columns]


def _pixels(fraction: np.ndarray, canvas: int) -> np.ndarray:
    """Return the canvas index of each fraction; np.rint rounds half to even, as Python's round does."""
    return np.clip(np.rint(np.asarray(fraction) * canvas).astype(int) - 1, 0, canvas - 1)


@lru_cache(maxsize=8)
def _impulse_responses(canvas: int, sigma: float, dtype: type[np.floating]) -> np.ndarray:
    """Return [canvas, canvas] of `dtype`: row j is the response of the Gaussian filter to a unit impulse at j."""
    filtered = gaussian_filter1d(np.eye(canvas), sigma, axis=0, mode="reflect", truncate=4.0)
    responses = np.ascontiguousarray(filtered.T, dtype)
    responses.flags.writeable = False  # all callers share it
    return responses
