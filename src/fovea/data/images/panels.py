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
from fovea.pictures.images import image_panels

log = logging.getLogger(__name__)


class Panels:
    """Draws one row of the sheet: image, fixations, map, outputs and target.

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
        """Return pictures by title; see `fovea.pictures.images.image_panels`."""
        image_id = sample["id"]
        gaze = self.table.of(image_id) if self.table is not None else None
        return image_panels(
            self.dataset.image(image_id),
            outputs,
            sample["target"].numpy(),
            self.target.title,
            self.dataset.classes,
            None if gaze is None else (gaze.x, gaze.y, gaze.duration),
            self.store.read(image_id) if self.store is not None and self.store.has(image_id) else None,
        )

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
