"""Labels drawn over an image."""

import cv2
import numpy as np

COLORS = ((86, 180, 233), (213, 94, 0), (0, 158, 115), (204, 121, 167), (0, 114, 178), (230, 159, 0))
"""Colors of the classes from 1 on, repeated if needed, safe for color-blind readers (palette of Okabe and Ito)."""

TRUTH = (240, 228, 66)  # yellow of the same palette; it stands out on mucosa and on gray slices
IGNORED = (128, 128, 128)  # gray, of the pixels that nobody labeled (-1)
_OPACITY, _IGNORED_OPACITY = 0.35, 0.8
_PIXELS_PER_LINE = 160  # of the shorter side of the image, for one pixel of line width


def color_of(label: int) -> tuple[int, int, int]:
    """Return the color of a class, from 1 on."""
    return COLORS[(label - 1) % len(COLORS)]


def palette(classes: int) -> list[tuple[int, int, int]]:
    """Return the colors of labels, black for the background; none for one class, which is white."""
    return [(0, 0, 0), *map(color_of, range(1, classes))] if classes > 1 else []


def overlay(image: np.ndarray, labels: np.ndarray, truth: np.ndarray | None = None) -> np.ndarray:
    """Fill each class in a translucent color and outline the truth in yellow. Ignored pixels (-1) are gray.

    The image is uint8 RGB [H, W, 3] and stays as it is. Labels and truth are bool or integers [H, W], 0 the background.
    """
    picture = image.copy()
    for label in np.unique(labels[labels > 0]).tolist():
        color, inside = color_of(label), labels == label
        _tint(picture, inside, color, _OPACITY)
        outline(picture, inside, color)
    _tint(picture, (labels < 0) if truth is None else (truth < 0), IGNORED, _IGNORED_OPACITY)
    if truth is not None:
        for label in np.unique(truth[truth > 0]).tolist():
            outline(picture, truth == label, TRUTH)
    return picture


def outline(picture: np.ndarray, mask: np.ndarray, color: tuple[int, int, int]) -> None:
    """Draw the outline of a mask, bool [H, W], into a picture, uint8 RGB [H, W, 3]."""
    width = max(1, round(min(mask.shape) / _PIXELS_PER_LINE))
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(picture, contours, -1, color, width, cv2.LINE_AA)


def _tint(picture: np.ndarray, inside: np.ndarray, color: tuple[int, int, int], opacity: float) -> None:
    picture[inside] = (1 - opacity) * picture[inside] + opacity * np.array(color)
