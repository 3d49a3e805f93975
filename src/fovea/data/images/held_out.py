"""The images of a split, as an evaluation asks for them."""

import logging
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from fovea.data.fixations import FixationTable, read_fixations
from fovea.data.images.plan import Plan
from fovea.data.images.samples import EvaluationSamples, Transform
from fovea.data.images.spacing import common_spacing
from fovea.pictures.images import image_panels

log = logging.getLogger(__name__)


class ImageSplit(EvaluationSamples):
    """Samples of a split with their targets, spacing and pictures: a `fovea.data.source.HeldOut`.

    Args:
        plan: What to read.
        ids: Of the split.
        size: Side of the network's input, in pixels.
        normalize: Albumentations transform of the network's input.
        threshold: Of a pseudo-mask that is scored against.
        fixations: CSV to draw on the sheet, where a store is in use and it is there.
        dose: Share of the gaze that is drawn.

    Raises:
        ValueError: the header of an image cannot be read.
    """

    def __init__(
        self,
        plan: Plan,
        ids: Sequence[str],
        size: int,
        normalize: Transform,
        threshold: float,
        fixations: str | None = None,
        dose: float = 1.0,
    ) -> None:
        super().__init__(plan, ids, size, normalize, threshold)
        self.fixations, self.dose = fixations, dose
        self.spacings, self.unit = common_spacing(plan.dataset, ids)
        self.classes: list[str] = []

    def patient(self, image_id: str) -> str:
        """The patient of an image."""
        return self.plan.dataset.patient(image_id)

    def spacing(self, image_id: str) -> tuple[float, float]:
        """Height and width of a pixel."""
        return self.spacings[image_id]

    def groups(self) -> dict[str, list[str]]:
        """None."""
        return {}

    def tiles(self, sample: Mapping[str, Any], outputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return a row of the contact sheet; see `fovea.pictures.images.image_panels`."""
        plan, image_id = self.plan, sample["id"]
        stored = plan.store is not None and plan.store.has(image_id)
        gaze = self.table.of(image_id) if self.table is not None else None
        return image_panels(
            plan.dataset.image(image_id),
            outputs,
            sample["target"].numpy(),
            "truth" if plan.select_on == "mask" else "pseudo-mask",
            plan.dataset.classes,
            None if gaze is None else (gaze.x, gaze.y, gaze.duration),
            plan.store.read(image_id) if stored and plan.store is not None else None,
        )

    @cached_property
    def table(self) -> FixationTable | None:
        """The fixations to draw; a sheet without them is still worth having."""
        if self.plan.store is None or self.fixations is None or not Path(self.fixations).is_file():
            return None
        try:
            return read_fixations(Path(self.fixations), self.plan.dataset.ids).first(self.dose)
        except ValueError as error:
            log.warning("the contact sheet shows no fixations: %s", error)
            return None
