"""The contact sheet of an evaluation: from the worst image to the best, each from gaze to prediction."""

from collections.abc import Mapping

import numpy as np

from fovea.data.fixations import Fixations
from fovea.pictures.overlay import overlay
from fovea.pictures.panels import fixation_panel, map_panel, mask_panel


def ranked(dice: Mapping[str, float], count: int) -> list[str]:
    """At most `count` ids at even steps of the ranking by Dice, worst and best included."""
    order = sorted(dice, key=lambda image_id: (dice[image_id], image_id))
    places = np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)
    return [order[place] for place in places]


def tiles(
    image: np.ndarray,
    fixations: Fixations | None,
    pseudo: np.ndarray | None,
    outputs: Mapping[str, np.ndarray],
    target: np.ndarray,
    target_name: str,
) -> dict[str, np.ndarray]:
    """One row of the sheet, by column: image, fixations, map, levels, prediction, target.

    Args:
        image: uint8 [H, W, 1 or 3].
        fixations: Drawn over the image, where there are any.
        pseudo: The continuous map [H, W] in [0, 1], where there is one.
        outputs: Boolean masks [H, W] by name: `prediction` and `level_1`, …
        target: Boolean mask [H, W]; its outline is drawn over the prediction.
        target_name: Title of its column.
    """
    rgb = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
    row = {"image": rgb}
    if fixations is not None:
        row["fixations"] = fixation_panel(rgb, fixations.x, fixations.y, fixations.duration)
    if pseudo is not None:
        row["map"] = map_panel(pseudo)
    levels = {name: mask for name, mask in outputs.items() if name != "prediction"}
    if len(levels) > 1:
        row |= {name.replace("_", " "): mask_panel(mask) for name, mask in levels.items()}
    row["prediction"] = overlay(rgb, outputs["prediction"], target)
    row[target_name] = mask_panel(target)
    return row
