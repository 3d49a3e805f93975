"""Targets of images: what a network is trained on or scored against, one class for each type of annotation."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import cv2
import numpy as np

from fovea.data.images.files import image_size
from fovea.data.images.folder import Folder
from fovea.data.store import Store
from fovea.data.targets import LabelTarget
from fovea.losses import IGNORE
from fovea.runtime.errors import first_few, nearest

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger(__name__)
_COMPARED = 20  # image files at most that are compared with those of the maps


class Mask(LabelTarget):
    """Ground truth of images, [H, W]."""

    dataset: Folder

    def _given(self, *name: str) -> np.ndarray:
        return self.dataset.checked_mask(*name)

    def check(self, ids: Sequence[str], open_all: bool = False) -> list[str]:
        """Return the ids whose masks have labeled pixels, and log the others.

        Masks are opened only if some pixels may be unlabeled, or with `open_all`. A ValueError if a file is missing or
        damaged, or no mask has a labeled pixel.
        """
        self.dataset.check(ids, masks=True)
        for image_id in self.compared(ids):
            image, size = self.dataset.image_path(image_id), self.dataset.size(image_id)
            for path in self.predicted.files(image) if self.predicted else ():
                if (found := image_size(path)) != size:
                    raise ValueError(f"{path}: has the size {found}, but {image} {size}; run fovea-predict again")
        if not self.partial and not open_all:
            return list(ids)
        highest = {image_id: int(self.read(image_id).max()) for image_id in ids}
        kept = [image_id for image_id in ids if highest[image_id] != IGNORE]
        ignored = f"ignore_label={self.dataset.ignore_label}"
        if ids and not kept:
            raise ValueError(f"{ignored}: the masks of {self.dataset.root} have no other value")
        if kept and not open_all and max(highest.values()) == 0:
            log.warning("no mask has foreground, apart from data.%s, so it cannot be learned", ignored)
        return _reported(ids, kept, "no labeled pixel (data.ignore_label)")

    def resize(self, array: np.ndarray, size: int) -> np.ndarray:
        """Return what `read` gives as [size, size], by the nearest pixel."""
        return cv2.resize(array, (size, size), interpolation=cv2.INTER_NEAREST_EXACT)

    def collate(self, batch: "Tensor") -> "Tensor":
        """Return stacked masks [B, H, W] as float32 [B, 1, H, W] of one class, or as int64 of several."""
        return batch[:, None].float() if self.dataset.classes == 1 else batch.long()


@dataclass
class PseudoMask:
    """A continuous map in [0, 1] from a store."""

    name = "pseudo"
    title = "pseudo-mask"
    fill = 0
    settings: ClassVar[Mapping[str, Any]] = {}

    store: Store
    parameters: Mapping[str, Any]  # what its maps must have been made with
    threshold: float  # of the labels to score against: `map >= threshold`
    made_from: str | None = None  # the file of labels that its maps must have been made from; None compares none
    image_path: Callable[[str], Path] | None = None  # to compare some image files with those of the maps
    weights: str | None = None  # the hash of those that its maps must have been made with; None compares none

    def check(self, ids: Sequence[str], open_all: bool = False) -> list[str]:
        """Return the ids that have a map, and log the others, after a check of what the store was made with."""
        if not ids:
            return []
        kept = [image_id for image_id in ids if self.store.has(image_id)]
        some = kept[:: -(-len(kept) // _COMPARED)] if kept and self.image_path else []  # all would take minutes
        images = {image_id: self.image_path(image_id) for image_id in some} if self.image_path else {}
        self.store.check(self.parameters, self.made_from, images, self.weights)
        if not kept:
            few = f"a map of none of these {len(ids)} images ({first_few(ids, 2)}){nearest(ids, self.store.ids)}"
            another = self.store.make_another(self.parameters, self.made_from)
            raise ValueError(f"{self.store.path}: {few}; set the store of this data set, or {another}")
        for image_id in kept if open_all else ():
            self.read(image_id)
        return _reported(ids, kept, "no pseudo-mask")

    def files(self, image_id: str) -> list[Path]:
        """Return the map, and the manifest that says how it was made."""
        return [self.store.path / "maps" / f"{image_id}.png", self.store.path / "manifest.json"]

    def read(self, image_id: str) -> np.ndarray:
        """Return a map, float32; a ValueError also if another process has replaced it since the check."""
        return self.store.read(image_id, described=True)

    def resize(self, array: np.ndarray, size: int) -> np.ndarray:
        """Resize bilinearly, before any threshold."""
        return cv2.resize(array, (size, size), interpolation=cv2.INTER_LINEAR)

    def collate(self, batch: "Tensor") -> "Tensor":
        """Return float32 [B, 1, H, W]."""
        return batch[:, None]

    def labels(self, image_id: str) -> np.ndarray:
        """Return the map at the threshold."""
        return (self.read(image_id) >= self.threshold).astype(np.int64)


Target = Mask | PseudoMask
"""One type of annotation of images."""


def _reported(ids: Sequence[str], kept: list[str], reason: str) -> list[str]:
    """Return the kept ids, and log those that are left out."""
    if len(kept) < len(ids):
        left_out = sorted({*ids} - {*kept})
        log.warning("%d images have %s and are left out: %s", len(left_out), reason, first_few(left_out))
    return kept
