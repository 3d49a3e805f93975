"""Pictures of volumes: one slice, with labels in colors."""

from collections.abc import Sequence

import cv2
import numpy as np

from fovea.pictures.overlay import overlay

_BRIGHTEST = 99.5  # percentile of the voxels of a slice that is shown white


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
