"""Weights that follow the progress of the training."""

import math


def ramp_up(progress: float) -> float:
    """From exp(-5), next to nothing, to 1: exp(-5 (1 - t)^2).

    Laine and Aila, "Temporal Ensembling for Semi-Supervised Learning", ICLR 2017.

    Args:
        progress: The part of training that is done, t, in [0, 1].
    """
    return math.exp(-5 * (1 - progress) ** 2)


def ramp_down(progress: float) -> float:
    """From 1 to 0 along half a cosine: (cos(pi t) + 1) / 2, t the progress in [0, 1]."""
    return (math.cos(math.pi * progress) + 1) / 2
