"""One file for each refiner: from an image and a map to a map with the edges of the image."""

from typing import Protocol

import numpy as np


class Refiner(Protocol):
    """Fits a map to the edges of its image.

    A refiner that reads a file of weights has an attribute `digest`, a hash of them: maps of other weights are made
    again.
    """

    def __call__(self, image: np.ndarray, probability: np.ndarray) -> np.ndarray:
        """Return the refined map, float32 [H, W] in [0, 1], of an image, uint8 [H, W, 3], and a map of this type."""


def is_unlabeled(probability: np.ndarray) -> bool:
    """Return whether most of a map [H, W] has the value of what nobody labeled, 0.5, as with scribbles."""
    return float(np.mean(probability == 0.5)) > 0.5
