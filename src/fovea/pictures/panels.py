"""Pictures of single steps: fixations, a continuous map, a mask."""

import cv2
import numpy as np

_LARGEST = 0.06  # radius of the longest fixation, as a share of the image's longer side
_OPACITY = 0.55
_FRACTION_BITS = 4  # OpenCV draws at 1/16 pixel


def fixation_panel(image: np.ndarray, x: np.ndarray, y: np.ndarray, duration: np.ndarray) -> np.ndarray:
    """Draw fixations over an image: circles whose area is the duration, from dark (first) to bright (last), on a path.

    Args:
        image: uint8 RGB [H, W, 3]; left as it is.
        x: fractions of the width [N], in time order.
        y: fractions of the height [N].
        duration: of each fixation [N], in any unit.

    Returns:
        uint8 RGB [H, W, 3].
    """
    height, width = image.shape[:2]
    picture = image.copy()
    if len(duration) == 0:
        return picture
    thickness = max(1, round(max(height, width) / 250))
    points = np.round(np.stack([x * width, y * height], axis=1) * 2**_FRACTION_BITS).astype(np.int32)
    radii = _LARGEST * max(height, width) * np.sqrt(duration / max(float(np.max(duration)), 1e-9))
    steps = np.linspace(40, 255, len(duration)).round().astype(np.uint8)
    colours = cv2.applyColorMap(steps[:, None], cv2.COLORMAP_PLASMA)[:, 0, ::-1].tolist()
    cv2.polylines(picture, [points], False, (255, 255, 255), thickness, cv2.LINE_AA, _FRACTION_BITS)
    discs = picture.copy()
    circles = [(point, round(radius * 2**_FRACTION_BITS)) for point, radius in zip(points.tolist(), radii, strict=True)]
    for (centre, radius), colour in zip(circles, colours, strict=True):
        cv2.circle(discs, centre, radius, colour, cv2.FILLED, cv2.LINE_AA, _FRACTION_BITS)
    picture = cv2.addWeighted(discs, _OPACITY, picture, 1 - _OPACITY, 0)
    for centre, radius in circles:
        cv2.circle(picture, centre, radius, (255, 255, 255), thickness, cv2.LINE_AA, _FRACTION_BITS)
    return picture


def map_panel(values: np.ndarray) -> np.ndarray:
    """Paint a map with a perceptually uniform colour map (inferno), 0 black and 1 pale yellow.

    Args:
        values: float [H, W]; values outside [0, 1] are clipped.

    Returns:
        uint8 RGB [H, W, 3].
    """
    levels = (np.clip(values, 0, 1) * 255).round().astype(np.uint8)
    return np.ascontiguousarray(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)[..., ::-1])


def mask_panel(mask: np.ndarray) -> np.ndarray:
    """Paint a mask, white on black.

    Args:
        mask: bool [H, W].

    Returns:
        uint8 RGB [H, W, 3].
    """
    return np.repeat(mask.astype(bool)[..., None], 3, axis=2).astype(np.uint8) * 255
