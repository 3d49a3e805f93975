"""The contact sheet of images: what is drawn of each image."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from fovea.data.fixations import Fixations
from fovea.data.images.folder import Folder
from fovea.data.images.targets import Target
from fovea.data.maps import built
from fovea.data.store import Store
from fovea.pictures.overlay import overlay
from fovea.pictures.panels import fixation_panel, label_panel, map_panel

log = logging.getLogger(__name__)


@dataclass
class Panels:
    """Draws one row of the sheet, from the labels to the prediction and the target.

    The maps of a store are shown if it was made with `parameters`, and so are the labels of the group `labels`, if it
    has a `path`.
    """

    dataset: Folder
    target: Target
    given: Store | None
    parameters: Mapping[str, Any]
    labels: Mapping[str, Any]

    def __call__(self, sample: Mapping[str, Any], outputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return pictures uint8 RGB by title: image, fixations (or other labels), map, levels, prediction, target.

        The outputs are labels [H, W] by name: `prediction`, and `level_1`, … if there are levels.
        """
        image_id, target, classes = sample["id"], sample["target"].numpy(), self.dataset.classes
        image = self.dataset.image(image_id)
        rgb = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
        panels = {"image": rgb}
        if self.annotations is not None:
            label, annotations = self.annotations
            panels |= self._label_panel(label, annotations.of(image_id), rgb)
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
        if self.given is None:
            return None
        try:
            self.given.check(self.parameters, self.labels.get("path"))
        except ValueError as error:
            if (self.given.path / "manifest.json").exists():
                log.warning("the contact sheet shows no maps: %s", error)
            return None
        return self.given

    @cached_property
    def annotations(self) -> tuple[Any, Any] | None:
        """The kind of label and its annotations, if they can be read: a sheet without them is still useful."""
        if self.store is None or self.labels.get("path") is None:
            return None
        try:
            if not Path(self.labels["path"]).expanduser().exists():
                raise ValueError(f"no such file {self.labels['path']}; set labels.path")
            label = built(self.labels, "labels")
            return label, label.read(self.dataset.ids)
        except ValueError as error:
            log.warning("the contact sheet shows no labels: %s", error)
            return None

    def _label_panel(self, label: Any, annotation: Any, rgb: np.ndarray) -> dict[str, np.ndarray]:
        """Return the picture of an annotation; of an image without one, the image."""
        if isinstance(annotation, Fixations):
            return {"fixations": fixation_panel(rgb, annotation.by_observer())}
        try:
            return {"label": map_panel(label.draw(annotation, rgb.shape[:2])) if len(annotation) else rgb}
        except ValueError:  # fovea-prepare has named it
            return {"label": rgb}
