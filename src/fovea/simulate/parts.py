"""The connected parts of a mask."""

import cv2
import numpy as np


def parts(mask: np.ndarray, smallest: float = 0.0) -> list[np.ndarray]:
    """Return the connected parts of the foreground of a mask [H, W], uint8 of 0 and 1, the largest first.

    Parts of less than `smallest` times the area of the largest are specks and left out.
    """
    _, labels, stats, _ = cv2.connectedComponentsWithStats((mask > 0).astype(np.uint8))
    areas = stats[1:, cv2.CC_STAT_AREA]
    order = np.argsort(-areas, kind="stable")
    return [(labels == part + 1).astype(np.uint8) for part in order if areas[part] >= smallest * areas.max()]


def depth(mask: np.ndarray) -> np.ndarray:
    """Return the distance of each pixel of a mask [H, W] to the background or the edge of the image, float32."""
    inside = np.pad((mask > 0).astype(np.uint8), 1)
    return np.asarray(cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE))[1:-1, 1:-1]
