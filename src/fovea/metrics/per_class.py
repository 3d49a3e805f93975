"""From scores of binary masks to those of label maps."""

from collections.abc import Callable

import numpy as np


def mean_over_classes(
    score: Callable[[np.ndarray, np.ndarray], dict[str, float]], prediction: np.ndarray, truth: np.ndarray, classes: int
) -> dict[str, float]:
    """Scores of the foreground for one class; for more, their means over the classes but the background.

    Args:
        score: Takes a predicted and a true mask.
        prediction: Integers, any shape.
        truth: The same shape.
        classes: Channels of the network's output.
    """
    if classes == 1:
        return score(prediction, truth)
    found = [score(prediction == label, truth == label) for label in range(1, classes)]
    return {name: sum(each[name] for each in found) / len(found) for name in found[0]}
