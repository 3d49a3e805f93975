"""Overlap of masks and label maps, for each image."""

from collections.abc import Callable

import numpy as np

from fovea.losses import IGNORE

NAMES = ("dice", "iou", "precision", "recall")
"""The keys of `scores`, in the order of a table's columns."""

Score = Callable[[np.ndarray, np.ndarray], dict[str, float]]


def scores(prediction: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Return Dice, IoU, precision and recall of a pair of masks.

    Two empty masks score 1 in all four. One empty mask scores 0 in all four.

    Args:
        prediction: bool or integers, any shape; every value but 0 is foreground.
        truth: The same shape; pixels of -1 are left out.

    Raises:
        ValueError: the shapes differ.
    """
    if prediction.shape != truth.shape:
        raise ValueError(f"cannot compare masks of {prediction.shape} and {truth.shape} pixels; resize one of them")
    prediction, truth = (mask.astype(bool) for mask in without_ignored(prediction, truth))
    both = int(np.count_nonzero(prediction & truth))
    predicted, true = int(np.count_nonzero(prediction)), int(np.count_nonzero(truth))
    if predicted + true == 0:
        return dict.fromkeys(NAMES, 1.0)
    return {
        "dice": 2 * both / (predicted + true),
        "iou": both / (predicted + true - both),
        "precision": both / predicted if predicted else 0.0,
        "recall": both / true if true else 0.0,
    }


def mean_over_classes(score: Score, prediction: np.ndarray, truth: np.ndarray, classes: int) -> dict[str, float]:
    """Return the scores of the foreground for one class; for several, their means over the classes but the background.

    Args:
        score: Takes a predicted and a true mask.
        prediction: Labels, any shape.
        truth: Labels of the same shape; pixels of -1 are left out.
        classes: Channels of the network's output.
    """
    prediction, truth = without_ignored(prediction, truth)
    if classes == 1:
        return score(prediction, truth)
    by_class = [score(prediction == label, truth == label) for label in range(1, classes)]
    return {name: sum(values[name] for values in by_class) / len(by_class) for name in by_class[0]}


def scores_of_labels(prediction: np.ndarray, truth: np.ndarray, classes: int) -> dict[str, float]:
    """Return `scores` of label maps; arguments as of `mean_over_classes`."""
    return mean_over_classes(scores, prediction, truth, classes)


def without_ignored(prediction: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both label maps with the background where the truth is -1.

    Overlap scores do not count background on which both agree, so these pixels are left out exactly.
    """
    if truth.dtype == bool or not (ignored := truth == IGNORE).any():
        return prediction, truth
    return np.where(ignored, 0, prediction), np.where(ignored, 0, truth)


def dice(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Return the Dice of two masks, 2 |A and B| / (|A| + |B|)."""
    return scores(prediction, truth)["dice"]
