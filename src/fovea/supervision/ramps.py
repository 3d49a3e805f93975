"""Weights that depend on the progress of the training, t in [0, 1]."""

import math


def ramp_up(progress: float) -> float:
    """Return exp(-5 (1 - t)^2), which rises from 0.007 to 1.

    Laine and Aila, "Temporal Ensembling for Semi-Supervised Learning", ICLR 2017.
    """
    return math.exp(-5 * (1 - progress) ** 2)


def ramp_down(progress: float) -> float:
    """Return (cos(pi t) + 1) / 2, which falls from 1 to 0."""
    return (math.cos(math.pi * progress) + 1) / 2
