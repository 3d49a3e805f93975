"""Targets: what a network is trained on or scored against, one class for each type of annotation."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import cv2
import numpy as np

from fovea.data.images.files import image_size
from fovea.data.predicted import Predicted
from fovea.data.store import Store, read_map
from fovea.losses import IGNORE
from fovea.runtime.errors import first_few, nearest

if TYPE_CHECKING:
    from torch import Tensor

    from fovea.data.images.folder import Folder

log = logging.getLogger(__name__)
_COMPARED = 20  # image files at most that are compared with those of the maps


class LabelTarget:
    """Class indices, -1 where nobody labeled: what the masks of images and of volumes share.

    With `predicted`, what nobody labeled has the labels that a network predicted; what has no mask is `unlabeled`. A
    mask is named by the ID of its image, or by a case and a modality.
    """

    name = "mask"
    """Its key in a batch, and in the `needs` of a supervision mode."""
    title = "truth"
    """Of its column in a contact sheet."""
    read_map: Callable[[Path], np.ndarray] = staticmethod(read_map)

    def __init__(
        self, dataset: Any, slices: int | None = None, predicted: Predicted | None = None, unlabeled: Sequence[str] = ()
    ) -> None:
        self.dataset, self.slices, self.predicted, self.unlabeled = dataset, slices, predicted, dict.fromkeys(unlabeled)
        self.sparse = slices is not None or dataset.ignore_label is not None
        self.partial = self.sparse or predicted is not None
        self.fill = IGNORE if self.partial else 0  # of what a transform moves in from outside
        self.marked: list[int] = []  # with `slices`, the number of labeled slices of each mask that was checked

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that decides an array, but the files and the data set; a cache depends on it."""
        return {"slices": self.slices, "confidence": self.predicted.confidence if self.predicted else None}

    def files(self, *name: str) -> list[Path]:
        """Return the files that a target is read from, and its image, with whose size or grid it is compared."""
        image, unlabeled = self.dataset.image_path(*name), name[0] in self.unlabeled
        predicted = self.predicted if self.sparse or unlabeled else None
        masks = [] if unlabeled else [self.dataset.mask_path(*name)]
        return [image, *masks, *(predicted.files(image) if predicted else [])]

    def read(self, *name: str) -> np.ndarray:
        """Return a target at native size: uint8, or int16 where something may be unlabeled."""
        if name[0] in self.unlabeled:
            return self._taught(*name)
        labels = self._given(*name)
        if self.predicted is None:
            return labels
        missing = labels == IGNORE
        return np.where(missing, self._taught(*name), labels) if missing.any() else labels.astype(np.int16)

    def labels(self, *name: str) -> np.ndarray:
        """Return class indices, int64, to score against."""
        return self.read(*name).astype(np.int64)

    def compared(self, labeled: Sequence[str]) -> list[str]:
        """Return the images or cases whose predictions are read; a ValueError if `predicted` is not needed."""
        if self.predicted is None:
            return []
        if not self.unlabeled and not self.sparse:
            raise ValueError("data.predicted: nothing lacks labels; leave it out, or set data.labeled_fraction")
        self.dataset.check(self.unlabeled)
        return [*(labeled if self.sparse else ()), *self.unlabeled]

    def _given(self, *name: str) -> np.ndarray:
        labels: np.ndarray = self.dataset.mask(*name)
        return labels

    def _taught(self, *name: str) -> np.ndarray:
        assert self.predicted is not None
        return self.predicted.labels(self.dataset.image_path(*name), self.read_map)


class Mask(LabelTarget):
    """Ground truth of images, [H, W]."""

    dataset: "Folder"

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
