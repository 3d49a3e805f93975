"""Volumes in pictures: the slice that shows most, with labels in colours."""

from collections.abc import Sequence

import cv2
import numpy as np

from fovea.pictures.overlay import outline

COLOURS = ((86, 180, 233), (230, 159, 0), (0, 158, 115), (204, 121, 167), (240, 228, 66), (213, 94, 0), (0, 114, 178))
"""Of the palette of Okabe and Ito, which colour-blind readers tell apart; with more labels they come again."""

_OPACITY = 0.4
_BRIGHTEST = 99.5  # percentile of the voxels of a slice that is shown white


def tiles(
    volume: np.ndarray, prediction: np.ndarray, truth: np.ndarray, spacing: Sequence[float]
) -> dict[str, np.ndarray]:
    """One row of a contact sheet, by column: image, prediction with the outlines of the truth, truth.

    Args:
        volume: float32 [D, H, W] in RAS.
        prediction: Labels of the same shape.
        truth: Labels of the same shape.
        spacing: Sides of a voxel.
    """
    axis, place = fullest(truth if truth.any() else prediction, spacing)
    grey, said, true = (slice_of(each, axis, place, spacing) for each in (volume, prediction, truth))
    rgb = shown(grey)
    compared = coloured(rgb, said)
    for label in np.unique(true[true > 0]).tolist():
        outline(compared, true == label, (255, 255, 255))
    return {"image": rgb, "prediction": compared, "truth": coloured(rgb, true)}


def overlay_of(volume: np.ndarray, prediction: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """The slice of a prediction that shows most of it, uint8 RGB [h, w, 3], over the volume; see `tiles`."""
    axis, place = fullest(prediction, spacing)
    return coloured(shown(slice_of(volume, axis, place, spacing)), slice_of(prediction, axis, place, spacing))


def fullest(labels: np.ndarray, spacing: Sequence[float]) -> tuple[int, int]:
    """The axis of the thickest slices, and the slice along it with most voxels that are labelled; the middle, if none.

    Where voxels are cubes, the axis is the last, from feet to head.
    """
    axis = 2 - int(np.argmax(spacing[::-1]))
    counts = np.count_nonzero(labels, axis=tuple(other for other in range(3) if other != axis))
    return axis, int(counts.argmax()) if counts.any() else len(counts) // 2


def slice_of(volume: np.ndarray, axis: int, place: int, spacing: Sequence[float]) -> np.ndarray:
    """A slice, turned so that the second of its axes in RAS points up, its pixels made squares."""
    flat = np.rot90(volume.take(place, axis=axis))
    across, up = (side for other, side in enumerate(spacing) if other != axis)
    least = min(across, up)
    size = round(flat.shape[1] * across / least), round(flat.shape[0] * up / least)
    smooth = np.issubdtype(volume.dtype, np.floating)
    if smooth:
        return cv2.resize(flat, size, interpolation=cv2.INTER_LINEAR)
    return cv2.resize(flat.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST_EXACT)


def shown(grey: np.ndarray) -> np.ndarray:
    """A slice [h, w] as uint8 RGB [h, w, 3], from its darkest voxel to nearly its brightest."""
    low, high = float(grey.min()), float(np.percentile(grey, _BRIGHTEST))
    scaled = np.clip((grey - low) / max(high - low, 1e-9), 0, 1)
    return np.repeat((scaled * 255).astype(np.uint8)[..., None], 3, axis=2)


def coloured(rgb: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """A picture with labels [h, w] filled in translucent colours and outlined in them."""
    picture = rgb.copy()
    for label in np.unique(labels[labels > 0]).tolist():
        colour, inside = COLOURS[(label - 1) % len(COLOURS)], labels == label
        picture[inside] = (1 - _OPACITY) * rgb[inside] + _OPACITY * np.array(colour)
        outline(picture, inside, colour)
    return picture
