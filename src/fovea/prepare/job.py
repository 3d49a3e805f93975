"""One image: from its annotation to its map in the store."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fovea.data.fixations import Fixations
from fovea.data.images.folder import Folder
from fovea.data.store import TOLERANCE, Store
from fovea.prepare.labels.label import Annotation, Label
from fovea.prepare.quality import BETWEEN, PROMPTS, between_observers, measure
from fovea.prepare.refiners import Refiner
from fovea.prepare.refiners.promptable.refine import Promptable, disagreement
from fovea.runtime.files import sha256
from fovea.runtime.one_line import is_yours, place


def _checked(values: object, size: tuple[int, int], who: str) -> np.ndarray:
    """Return a map as it is; a ValueError unless it is one of an image of this size, in [0, 1]."""
    if not isinstance(values, np.ndarray) or values.shape != size:
        got = list(values.shape) if isinstance(values, np.ndarray) else f"a {type(values).__name__}"
        raise ValueError(f"{who} returns {got}, not a map {list(size)}, the size of the image")
    lowest, highest = float(values.min()), float(values.max())
    if not (lowest >= -TOLERANCE and highest <= 1 + TOLERANCE):  # also NaN
        raise ValueError(f"{who} returns values from {lowest:.3g} to {highest:.3g}, not in [0, 1]")
    return values


class Item(NamedTuple):
    """The annotation of an image, and whether its mask may be opened to measure quality."""

    image_id: str
    annotation: Annotation
    masked: bool


@dataclass(frozen=True)
class Job:
    """Makes the map of an image unless the store has it. Each process receives the job once."""

    dataset: Folder
    store: Store
    label: Label
    refiner: Refiner
    made_with: Mapping[str, Any]  # parameters and versions; a map that was made with others is made again
    thresholds: Sequence[float]  # at which quality is measured; empty to measure none

    def __call__(self, item: Item) -> tuple[dict[str, Any], dict[str, float], str] | str:
        """Make and write one map; an error of the store stops everything.

        Returns the statistics of the image for the manifest, its quality, and one line if its mask is damaged; or only
        one line if the image is damaged.
        """
        refined = None
        try:
            digest = sha256(self.dataset.image_path(item.image_id))
            made_of = hashlib.sha256(json.dumps([digest, self.made_with], sort_keys=True).encode())
            made_of.update(item.annotation.tobytes())
            record = self.store.record(item.image_id)
            if record is None or record.get("made_of") != made_of.hexdigest():
                image = self.dataset.checked_image(item.image_id)
                color = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
                size = (image.shape[0], image.shape[1])
                # Checked before a refiner gets it: compiled code does not check shapes.
                label, refiner = (f"{item.image_id}: {type(part).__name__}" for part in (self.label, self.refiner))
                drawn = _checked(self.label.draw(item.annotation, size), size, f"{label}.draw")
                refined = _checked(self.refiner(color, drawn), size, refiner)
                record = {
                    "made_of": made_of.hexdigest(),
                    "mean": round(float(refined.mean(dtype=np.float64)), 6),
                    "above_half": round(float(np.mean(refined >= 0.5)), 6),
                }
        except (ValueError, OSError) as error:
            line = self._line(error)
            return f"{line} ({place(error)})" if is_yours(error) else line
        if refined is not None:
            self.store.write(item.image_id, refined, record)
        try:
            quality, damaged = self._quality(item) if self.thresholds else ({}, "")
        except ValueError as error:
            return self._line(error)
        return {"sha256": digest, **item.annotation.statistics(), **record}, quality, damaged

    def view(self, item: Item) -> tuple[np.ndarray, Any, np.ndarray, np.ndarray, np.ndarray | None]:
        """Return the image, its annotation, the drawn map, the stored map, and the mask if it may be opened."""
        image = self.dataset.checked_image(item.image_id)
        drawn = self.label.draw(item.annotation, image.shape[:2])
        return image, item.annotation, drawn, self.store.read(item.image_id), self._mask(item)

    def _quality(self, item: Item) -> tuple[dict[str, float], str]:
        """Measure the map as stored, so that it does not matter which run made it; without a mask if it is damaged."""
        mask, damaged = None, ""
        try:
            mask = self._mask(item)
        except (ValueError, OSError) as error:
            damaged = self._line(error)
        refined = self.store.read(item.image_id)
        size = (refined.shape[0], refined.shape[1])
        drawn = self.label.draw(item.annotation, size)
        row = measure(item.annotation, drawn, refined, self.thresholds, mask)
        if isinstance(item.annotation, Fixations) and len(observers := item.annotation.by_observer()) > 1:
            row[BETWEEN] = between_observers([self.label.draw(each, size) for each in observers])
        if isinstance(self.refiner, Promptable):
            row[PROMPTS] = disagreement(refined, self.refiner.band)
        return row, damaged

    def _mask(self, item: Item) -> np.ndarray | None:
        return self.dataset.checked_mask(item.image_id) if item.masked else None

    def _line(self, error: Exception) -> str:
        """Return the error as one line without paths of this machine, for the manifest."""
        text = str(error).replace(f"{self.dataset.root}/", "")
        for path in (self.label.path.rstrip("/"), str(Path(self.label.path).expanduser())):
            text = text.replace(path, Path(path).name)
        return " ".join(text.split())
