"""The contact sheet of images: what is drawn of each image."""

import logging
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from fovea.data.fixations import FixationTable, read_fixations
from fovea.data.images.folder import Folder
from fovea.data.store import Store
from fovea.data.targets import Target
from fovea.pictures.overlay import overlay
from fovea.pictures.panels import fixation_panel, label_panel, map_panel

log = logging.getLogger(__name__)


class Panels:
    """Draws one row of the sheet, from the labels to the prediction.

    Args:
        dataset: The images.
        target: What they are scored against.
        store: The store whose maps and fixations are shown, if it has the given parameters.
        parameters: What its maps must have been made with.
        fixations: CSV of the fixations; None: they are not shown.
        dose: Part of the gaze that is shown.
    """

    def __init__(
        self,
        dataset: Folder,
        target: Target,
        store: Store | None,
        parameters: Mapping[str, Any],
        fixations: str | None,
        dose: float,
    ) -> None:
        self.dataset, self.target, self.parameters = dataset, target, parameters
        self.given, self.fixations, self.dose = store, fixations, dose

    def __call__(self, sample: Mapping[str, Any], outputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return pictures uint8 RGB by title: image, fixations, map, levels, prediction, target.

        Args:
            sample: Has `id` and `target`, labels [H, W], whose outline is drawn over the prediction.
            outputs: Labels [H, W] by name: `prediction`, and `level_1`, … if there are levels.
        """
        image_id, target, classes = sample["id"], sample["target"].numpy(), self.dataset.classes
        image = self.dataset.image(image_id)
        rgb = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
        panels = {"image": rgb}
        if self.table is not None:
            gaze = self.table.of(image_id)
            panels["fixations"] = fixation_panel(rgb, gaze.x, gaze.y, gaze.duration)
        if self.store is not None and self.store.has(image_id):
            panels["map"] = map_panel(self.store.read(image_id))
        if len(outputs) > 2:  # a single level is the prediction
            levels = [name for name in outputs if name != "prediction"]
            panels |= {name.replace("_", " "): label_panel(outputs[name], classes) for name in levels}
        target = np.sign(target) if classes == 1 else target  # whatever the value of the foreground in the file
        panels["prediction"] = overlay(rgb, outputs["prediction"], target)
        return panels | {self.target.title: label_panel(target, classes)}

    @cached_property
    def store(self) -> Store | None:
        """The store if it exists and fits: a sheet without the column of maps is still useful."""
        try:
            if self.given is not None:
                self.given.check(self.parameters, self.fixations)
        except ValueError as error:
            if self.given is not None and (self.given.path / "manifest.json").exists():
                log.warning("the contact sheet shows no maps: %s", error)
            return None
        return self.given

    @cached_property
    def table(self) -> FixationTable | None:
        """The fixations, if they can be read: a sheet without them is still useful."""
        if self.store is None or self.fixations is None:
            return None
        try:
            if not Path(self.fixations).is_file():
                raise ValueError(f"no such file {self.fixations}; set labels.path")
            return read_fixations(Path(self.fixations), self.dataset.ids).first(self.dose)
        except ValueError as error:
            log.warning("the contact sheet shows no fixations: %s", error)
            return None
