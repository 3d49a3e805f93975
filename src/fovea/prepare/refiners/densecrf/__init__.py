"""The dense CRF with one bilateral Potts term and two labels, in three implementations that agree to 1e-4.

Krähenbühl and Koltun, *Efficient Inference in Fully Connected CRFs with Gaussian Edge Potentials*, 2011 (arXiv
1210.5644). The unary term is -log of the map. The kernel exp(-|dpos|^2 / (2 sxy^2) - |dcolor|^2 / (2 srgb^2)) is
normalized symmetrically. With two labels it is enough to filter their difference q = 2 P - 1 = tanh(logit / 2).
"""

import numpy as np

FLOOR = 1e-5
"""The lowest probability, so that no label is ever impossible."""


def logit(probability: np.ndarray) -> np.ndarray:
    """Return the logit of a map, kept finite."""
    low, one = np.float32(FLOOR), np.float32(1)
    return np.log(np.clip(probability, low, one)) - np.log(np.clip(one - probability, low, one))
