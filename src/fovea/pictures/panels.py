"""Single pictures: fixations, a continuous map, labels."""

from collections.abc import Iterable, Sequence

import cv2
import numpy as np

from fovea.pictures.overlay import IGNORED, palette

_LARGEST = 0.06  # radius of the longest fixation, as a share of the image's longer side
_OPACITY = 0.55
_FRACTION_BITS = 4  # OpenCV draws at 1/16 pixel
_WHITE = (255, 255, 255)


def fixation_panel(image: np.ndarray, observers: Iterable[Sequence[np.ndarray]]) -> np.ndarray:
    """Draw fixations over an image: circles whose area is the duration, from dark (first) to bright (last), on a path.

    The image is uint8 RGB [H, W, 3] and stays as it is. Of each observer, who gets an own path: x and y as fractions of
    its sides, in time order, and the duration in any unit, [N] each.
    """
    picture = image.copy()
    for x, y, duration in observers:
        if len(duration):
            picture = _with_path(picture, x, y, duration)
    return picture


def _with_path(picture: np.ndarray, x: np.ndarray, y: np.ndarray, duration: np.ndarray) -> np.ndarray:
    height, width = picture.shape[:2]
    thickness = max(1, round(max(height, width) / 250))
    points = np.round(np.stack([x * width, y * height], axis=1) * 2**_FRACTION_BITS).astype(np.int32)
    radii = _LARGEST * max(height, width) * np.sqrt(duration / max(float(np.max(duration)), 1e-9))
    steps = np.linspace(40, 255, len(duration)).round().astype(np.uint8)
    colors = cv2.applyColorMap(steps[:, None], cv2.COLORMAP_PLASMA)[:, 0, ::-1].tolist()
    cv2.polylines(picture, [points], False, _WHITE, thickness, cv2.LINE_AA, _FRACTION_BITS)
    discs = picture.copy()
    circles = [(point, round(radius * 2**_FRACTION_BITS)) for point, radius in zip(points.tolist(), radii, strict=True)]
    for (center, radius), color in zip(circles, colors, strict=True):
        cv2.circle(discs, center, radius, color, cv2.FILLED, cv2.LINE_AA, _FRACTION_BITS)
    picture = cv2.addWeighted(discs, _OPACITY, picture, 1 - _OPACITY, 0)
    for center, radius in circles:
        cv2.circle(picture, center, radius, _WHITE, thickness, cv2.LINE_AA, _FRACTION_BITS)
    return picture


def map_panel(values: np.ndarray) -> np.ndarray:
    """Paint a map [H, W] with a perceptually uniform color map (inferno): 0 is black and 1 pale yellow."""
    levels = (np.clip(values, 0, 1) * 255).round().astype(np.uint8)
    return np.ascontiguousarray(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)[..., ::-1])


def label_panel(labels: np.ndarray, classes: int = 1) -> np.ndarray:
    """Paint labels [H, W] on black: white for one class, a color for each of several, gray for ignored pixels (-1)."""
    indices = labels.astype(np.int64) if classes > 1 else np.sign(labels.astype(np.int64))
    return np.array([*(palette(classes) or [(0, 0, 0), _WHITE]), IGNORED], np.uint8)[indices]  # -1 is the last
