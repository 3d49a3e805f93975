"""The unary term of the dense CRF."""

import numpy as np

FLOOR = 1e-5
"""The lowest probability, so that no label is ever impossible."""


def logit(probability: np.ndarray) -> np.ndarray:
    """Return the finite logit of a map: two labels need only the difference of their unary terms."""
    low, one = np.float32(FLOOR), np.float32(1)
    return np.log(np.clip(probability, low, one)) - np.log(np.clip(one - probability, low, one))
