"""No refinement."""

import numpy as np


class Unrefined:
    """Returns the map of the label as it is."""

    def __call__(self, image: np.ndarray, probability: np.ndarray) -> np.ndarray:
        """Return a copy of the map."""
        return probability.copy()
