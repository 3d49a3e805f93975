"""All scores of one image."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from fovea.losses import IGNORE
from fovea.metrics.lesion_size import lesion_size
from fovea.metrics.overlap import mean_over_classes, scores, scores_of_labels
from fovea.metrics.surface import surface_scores


def scores_of_image(
    outputs: Mapping[str, np.ndarray],
    truth: np.ndarray,
    classes: int,
    spacing: Sequence[float],
    tolerance: float,
    names: Sequence[str] = (),
) -> dict[str, dict[str, float]]:
    """Overlap of every output with the truth; of the prediction also `hd95`, `surface_dice` and the lesion's `size`.

    Args:
        outputs: Label maps [H, W] or [D, H, W] by name: `prediction`, and `level_1`, … where there are levels.
        truth: Labels of the same shape.
        classes: Channels of the network's output.
        spacing: Sides of a pixel or voxel.
        tolerance: Distance at which two borders still agree, in the unit of the spacing.
        names: Of the classes but the background, where the prediction is to be scored class by class too.

    Returns:
        Scores by output and name, each the mean over the classes but the background; and by class, where these are
        named.
    """
    found = {output: scores_of_labels(labels, truth, classes) for output, labels in outputs.items()}
    surface = partial(surface_scores, spacing=spacing, tolerance=tolerance)
    prediction = outputs["prediction"]
    for label, name in enumerate(names, start=1):
        labeled = truth != IGNORE
        mask, true = (prediction == label) & labeled, truth == label
        found[name] = scores(mask, true) | surface(mask, true)
    if names:
        distances = {key: sum(found[name][key] for name in names) / len(names) for key in ("hd95", "surface_dice")}
    else:
        distances = mean_over_classes(surface, prediction, truth, classes)
    found["prediction"] |= distances | {"size": lesion_size(truth)}
    return found
