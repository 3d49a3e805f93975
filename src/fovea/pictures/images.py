"""The pictures of one image in a contact sheet, from its labels to the prediction."""

from collections.abc import Mapping

import numpy as np

from fovea.pictures.overlay import overlay
from fovea.pictures.panels import fixation_panel, label_panel, map_panel


def image_panels(
    image: np.ndarray,
    outputs: Mapping[str, np.ndarray],
    target: np.ndarray,
    target_name: str = "truth",
    classes: int = 1,
    fixations: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None,
    pseudo: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Return the pictures of an image by title: image, fixations, map, levels, prediction, target.

    Args:
        image: uint8 [H, W, 1 or 3].
        outputs: Labels [H, W] by name: `prediction` and `level_1`, …
        target: Labels [H, W]; -1 where nobody labeled. Its outline is drawn over the prediction.
        target_name: The title of its picture.
        classes: Channels of the network's output.
        fixations: x, y and duration, see `fixation_panel`; None leaves the picture out.
        pseudo: The continuous map [H, W] in [0, 1]; None leaves the picture out.
    """
    rgb = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
    panels = {"image": rgb}
    if fixations is not None:
        panels["fixations"] = fixation_panel(rgb, *fixations)
    if pseudo is not None:
        panels["map"] = map_panel(pseudo)
    levels = {name: labels for name, labels in outputs.items() if name != "prediction"}
    if len(levels) > 1:
        panels |= {name.replace("_", " "): label_panel(labels, classes) for name, labels in levels.items()}
    if classes == 1:  # whatever the value of the foreground in the file
        target = np.sign(target.astype(np.int64))
    panels["prediction"] = overlay(rgb, outputs["prediction"], target)
    panels[target_name] = label_panel(target, classes)
    return panels
