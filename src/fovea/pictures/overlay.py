"""A prediction, and the truth where it is known, drawn over the image."""

import cv2
import numpy as np

PREDICTION = (86, 180, 233)
"""Sky blue of the palette of Okabe and Ito, which colour-blind readers tell from `TRUTH`; both stand out on mucosa."""

TRUTH = (240, 228, 66)
"""Yellow of the same palette."""

_OPACITY = 0.3
_PIXELS_A_LINE = 160  # shorter side of the image that one pixel of line width serves


def overlay(image: np.ndarray, prediction: np.ndarray, truth: np.ndarray | None = None) -> np.ndarray:
    """Fill the prediction translucently in blue with a blue outline, and outline the truth in yellow.

    Args:
        image: uint8 RGB [H, W, 3]; left as it is.
        prediction: bool [H, W].
        truth: bool [H, W], or None.

    Returns:
        uint8 RGB [H, W, 3].
    """
    picture = image.copy()
    inside = prediction.astype(bool)
    picture[inside] = (1 - _OPACITY) * picture[inside] + _OPACITY * np.array(PREDICTION)
    outline(picture, inside, PREDICTION)
    if truth is not None:
        outline(picture, truth.astype(bool), TRUTH)
    return picture


def outline(picture: np.ndarray, mask: np.ndarray, colour: tuple[int, int, int]) -> None:
    """Draw the outline of a mask, bool [H, W], into a picture, uint8 RGB [H, W, 3]."""
    width = max(1, round(min(mask.shape) / _PIXELS_A_LINE))
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(picture, contours, -1, colour, width, cv2.LINE_AA)
