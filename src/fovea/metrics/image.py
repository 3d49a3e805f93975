"""All scores of one image."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from fovea.metrics.lesion_size import lesion_size
from fovea.metrics.overlap import scores_of_labels
from fovea.metrics.per_class import mean_over_classes
from fovea.metrics.surface import surface_scores


def scores_of_image(
    outputs: Mapping[str, np.ndarray], truth: np.ndarray, classes: int, spacing: Sequence[float], tolerance: float
) -> dict[str, dict[str, float]]:
    """Overlap of every output with the truth; of the prediction also `hd95`, `surface_dice` and the lesion's `size`.

    Args:
        outputs: Label maps [H, W] by name: `prediction`, and `level_1`, … where there are levels.
        truth: Labels [H, W].
        classes: Channels of the network's output.
        spacing: Height and width of a pixel.
        tolerance: Distance at which two borders still agree, in the unit of the spacing.

    Returns:
        Scores by output and name, each the mean over the classes but the background.
    """
    found = {output: scores_of_labels(labels, truth, classes) for output, labels in outputs.items()}
    surface = partial(surface_scores, spacing=spacing, tolerance=tolerance)
    found["prediction"] |= mean_over_classes(surface, outputs["prediction"], truth, classes)
    found["prediction"]["size"] = lesion_size(truth)
    return found
