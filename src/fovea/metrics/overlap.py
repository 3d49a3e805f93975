"""Overlap of masks and label maps, for each image."""

from collections.abc import Mapping, Sequence

import numpy as np

from fovea.losses import IGNORE

NAMES = ("dice", "iou", "precision", "recall")
"""The keys of `scores`, in the order of a table's columns."""


def scores(prediction: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Return Dice, IoU, precision and recall of a pair of masks.

    Two empty masks score 1 in all four. One empty mask scores 0 in all four. The masks are bool or integers of one
    shape, else a ValueError; every value but 0 is foreground, and pixels of -1 in the truth are left out.
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


def masks_of(prediction: np.ndarray, truth: np.ndarray, classes: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the predicted and the true mask of each class but the background, from labels of one shape.

    Pixels of -1 in the truth are left out. `classes` are the channels of the network's output; 1: every label but 0 is
    foreground.
    """
    prediction, truth = without_ignored(prediction, truth)
    if classes == 1:
        return [(prediction != 0, truth != 0)]
    return [(prediction == label, truth == label) for label in range(1, classes)]


def mean_of(by_class: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean over classes of scores by name."""
    return {name: sum(values[name] for values in by_class) / len(by_class) for name in by_class[0]}


def scores_of_labels(prediction: np.ndarray, truth: np.ndarray, classes: int) -> dict[str, float]:
    """Return the mean of `scores` over the classes but the background; arguments as of `masks_of`."""
    return mean_of([scores(*pair) for pair in masks_of(prediction, truth, classes)])


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
