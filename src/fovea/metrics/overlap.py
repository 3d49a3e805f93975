"""How far two binary masks agree, per image."""

import numpy as np

from fovea.metrics.per_class import mean_over_classes

NAMES = ("dice", "iou", "precision", "recall")
"""The keys of `scores`, in the order of a table's columns."""


def scores(prediction: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """All four scores of a pair of masks, counted in one pass.

    A pair of empty masks scores 1 in all four: nothing was to be found, and nothing was claimed. Where one of them
    is empty all four are 0.

    Args:
        prediction: bool or integers, any shape; what is not 0 is foreground.
        truth: the same shape.

    Returns:
        `dice`, `iou`, `precision` (of the predicted pixels) and `recall` (of the true ones), each in [0, 1].

    Raises:
        ValueError: the shapes differ.
    """
    if prediction.shape != truth.shape:
        raise ValueError(f"masks of {prediction.shape} and {truth.shape} pixels cannot be compared; resize one of them")
    prediction, truth = prediction.astype(bool), truth.astype(bool)
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


def scores_of_labels(prediction: np.ndarray, truth: np.ndarray, classes: int) -> dict[str, float]:
    """The scores of label maps: of the foreground for one class, the mean over the classes but the background for more.

    Args:
        prediction: integers, any shape.
        truth: the same shape.
        classes: channels of the network's output.
    """
    return mean_over_classes(scores, prediction, truth, classes)


def dice(prediction: np.ndarray, truth: np.ndarray) -> float:
    """2 |A and B| / (|A| + |B|); see `scores`."""
    return scores(prediction, truth)["dice"]


def iou(prediction: np.ndarray, truth: np.ndarray) -> float:
    """|A and B| / |A or B|; see `scores`."""
    return scores(prediction, truth)["iou"]


def precision(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Share of the predicted pixels that are true; see `scores`."""
    return scores(prediction, truth)["precision"]


def recall(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Share of the true pixels that are predicted; see `scores`."""
    return scores(prediction, truth)["recall"]
