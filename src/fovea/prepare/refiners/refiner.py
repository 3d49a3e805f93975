"""The interface of a refiner; each refiner is one file here and one YAML in `configs/refine/`."""

from typing import Protocol

import numpy as np


class Refiner(Protocol):
    """Fits a map to the edges of its image."""

    def __call__(self, image: np.ndarray, probability: np.ndarray) -> np.ndarray:
        """Return the refined map.

        Args:
            image: uint8 [H, W, 3].
            probability: float32 [H, W] in [0, 1], the probability of the foreground. It must not be changed.

        Returns:
            float32 [H, W] in [0, 1].

        Raises:
            ValueError: The image cannot be refined with these parameters.
        """
