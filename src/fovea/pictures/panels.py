"""Single pictures: fixations, a continuous map, labels, and one slice of a volume with its labels."""

from collections.abc import Iterable, Sequence
from typing import Any

import cv2
import numpy as np

from fovea.pictures.overlay import IGNORED, overlay, palette

_LARGEST = 0.06  # radius of the longest fixation, as a share of the image's longer side
_OPACITY = 0.55
_FRACTION_BITS = 4  # OpenCV draws at 1/16 pixel
_WHITE = (255, 255, 255)
_BRIGHTEST = 99.5  # percentile of the voxels of a slice that is shown white


def fixation_panel(image: np.ndarray, observers: Iterable[Any]) -> np.ndarray:
    """Draw fixations over an image: circles whose area is the duration, from dark (first) to bright (last), on a path.

    The image is uint8 RGB [H, W, 3] and is not changed. Each observer gets a path, and has `x` and `y`, fractions
    of the sides, in time order, and `duration` in any unit, [N] each.
    """
    picture = image.copy()
    for each in observers:
        if len(each.duration):
            picture = _with_path(picture, each.x, each.y, each.duration)
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


def volume_panels(
    volume: np.ndarray, prediction: np.ndarray, target: np.ndarray, spacing: Sequence[float], target_name: str = "truth"
) -> dict[str, np.ndarray]:
    """Return the pictures of a volume by title: image, prediction with the outline of the target, target.

    The volume is float32 [D, H, W] in RAS. Prediction and target are labels of the same shape, -1 where nobody labeled.
    `spacing` has the sides of a voxel.
    """
    axis, place = fullest(target if (target > 0).any() else prediction, spacing)
    gray, predicted, true = (slice_of(voxels, axis, place, spacing) for voxels in (volume, prediction, target))
    rgb = as_rgb(gray)
    return {"image": rgb, "prediction": overlay(rgb, predicted, true), target_name: overlay(rgb, true)}


def volume_overlay(volume: np.ndarray, prediction: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """Return the slice with most of a prediction over the volume, uint8 RGB [h, w, 3]; see `volume_panels`."""
    axis, place = fullest(prediction, spacing)
    return overlay(as_rgb(slice_of(volume, axis, place, spacing)), slice_of(prediction, axis, place, spacing))


def fullest(labels: np.ndarray, spacing: Sequence[float]) -> tuple[int, int]:
    """Return the axis of the thickest slices and the slice with most foreground; the middle slice without any.

    Of equally thick ones the axis is the last, from feet to head.
    """
    axis = 2 - int(np.argmax(spacing[::-1]))
    counts = np.count_nonzero(labels > 0, axis=tuple(other for other in range(3) if other != axis))
    return axis, int(counts.argmax()) if counts.any() else len(counts) // 2


def slice_of(volume: np.ndarray, axis: int, place: int, spacing: Sequence[float]) -> np.ndarray:
    """Return a slice with square pixels, turned so that the second of its axes in RAS points up."""
    flat = np.rot90(volume.take(place, axis=axis))
    across, up = (side for other, side in enumerate(spacing) if other != axis)
    least = min(across, up)
    size = round(flat.shape[1] * across / least), round(flat.shape[0] * up / least)
    if np.issubdtype(volume.dtype, np.floating):
        return cv2.resize(flat, size, interpolation=cv2.INTER_LINEAR)
    return cv2.resize(flat.astype(np.int16), size, interpolation=cv2.INTER_NEAREST_EXACT)


def as_rgb(gray: np.ndarray) -> np.ndarray:
    """Return a slice [h, w] as uint8 RGB [h, w, 3], scaled from its darkest voxel to nearly its brightest."""
    low, high = float(gray.min()), float(np.percentile(gray, _BRIGHTEST))
    scaled = np.clip((gray - low) / max(high - low, 1e-9), 0, 1)
    return np.repeat((scaled * 255).astype(np.uint8)[..., None], 3, axis=2)
