"""How large predicted structures are, and how sure the network is of them."""

from typing import NamedTuple

import numpy as np
from scipy import ndimage


class Structure(NamedTuple):
    """Measurements of one class in one prediction; None where the class has no pixel, or a size is unknown."""

    pixels: int
    size: float | None
    """Area in mm² or volume in mm³."""
    largest: float | None
    """Share of its largest component, in (0, 1]; components touch by sides or corners."""
    probability: float | None
    """Mean over its pixels."""


def structures(labels: np.ndarray, probability: np.ndarray, pixel_size: float | None) -> list[Structure]:
    """Return the measurements of each class but the background, from labels [H, W] or [D, H, W].

    `probability` is [K, *size]: of the foreground for K = 1, otherwise of each class. `pixel_size` is
    the area of a pixel in mm², or its volume in mm³.
    """
    found = []
    for label in range(1, max(len(probability), 2)):
        inside = labels == label
        pixels = int(np.count_nonzero(inside))
        size = None if pixel_size is None else pixels * pixel_size
        if not pixels:
            found.append(Structure(0, size, None, None))
            continue
        parts, _ = ndimage.label(inside, np.ones((3,) * inside.ndim))
        largest = int(np.bincount(parts.ravel())[1:].max())
        mean = float(probability[label if len(probability) > 1 else 0][inside].mean(dtype=np.float64))
        found.append(Structure(pixels, size, largest / pixels, mean))
    return found
