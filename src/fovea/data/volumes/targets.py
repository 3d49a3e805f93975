"""Targets of volumes: what a network is trained on or scored against, one class for each type of annotation."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fovea.data.targets import LabelTarget
from fovea.data.volumes.grid import Header, difference, slice_axis
from fovea.data.volumes.nifti import read_header, read_labels, read_map
from fovea.data.volumes.pairs import Pairs, check_each
from fovea.losses import IGNORE
from fovea.runtime.errors import first_few

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger(__name__)


class Mask(LabelTarget):
    """Ground truth of volumes, int16 [D, H, W]. With `slices`, only so many slices of each mask count as labeled."""

    dataset: Pairs
    read_map = staticmethod(read_map)
    dtype = np.int16  # of its arrays
    nearest = True  # whether resampling and augmentation take the nearest voxel, without an interpolation

    def check(self, cases: Sequence[str], open_all: bool = False) -> list[str]:
        """Return the cases whose masks have labeled voxels, and log the others; all masks are decoded.

        Warn of a class that no case to train on has (without `open_all`). A missing or invalid file is a ValueError.
        """
        self.dataset.check(cases, "mask")
        check_each(self._compare, self.compared(cases))
        present = check_each(self._present, cases)
        if empty := [case for case, labels in zip(cases, present, strict=True) if not all(labels)]:
            log.warning("%d cases are left out, their masks have only ignored voxels: %s", len(empty), first_few(empty))
        found = {label for labels in present for each in labels for label in each}
        named = dict(enumerate(self.dataset.names or ["foreground"], 1))
        if not open_all and (absent := [name for label, name in named.items() if label not in found]):
            log.warning("no labeled case has %s: it cannot be learned", first_few(absent))
        return [case for case, labels in zip(cases, present, strict=True) if all(labels)]

    def _compare(self, case: str) -> None:
        """Refuse predictions that are missing, or not on the grid of their volume."""
        for modality in self.dataset.modalities:
            volume = read_header(self.dataset.image_path(case, modality))
            for path in self.predicted.files(volume.path) if self.predicted else ():
                if differs := difference(read_header(path), volume):
                    raise ValueError(f"{path}: {differs}; run fovea-predict again")

    def _given(self, *name: str) -> np.ndarray:
        labels = super()._given(*name)
        return labels if self.slices is None else sparse(labels, self.dataset.header(*name), self.slices)

    def _taught(self, *name: str) -> np.ndarray:
        case, modality = name
        return self.dataset.move(super()._taught(*name), case, modality, nearest=True)

    def foreground(self, crops: "Tensor") -> "Tensor":
        """Return which voxels of a volume a crop may be centered on, as booleans."""
        return crops > 0

    def collate(self, crops: Mapping[str, "Tensor"]) -> Any:
        """Return crops [B, 1, *size] as float32 of one class, or as int64 [B, *size] of several, by modality."""
        if self.dataset.classes == 1:
            return {name: mask.float() for name, mask in crops.items()}
        return {name: mask[:, 0].long() for name, mask in crops.items()}

    def _present(self, case: str) -> list[list[int]]:
        """Return the labels of each mask of a case; refuse masks with different labels."""
        present: list[list[int]] = []
        labeled: list[list[int]] = []
        for name in self.dataset.modalities:
            path = self.dataset.mask_path(case, name)
            labels = read_labels(path, self.dataset.values, self.dataset.ignore_label)
            present.append([label for label in np.unique(labels).tolist() if label != IGNORE])
            if self.slices is not None:
                header = read_header(path)
                labels = sparse(labels, header, self.slices)
                self.marked.append(int(sum(map(np.any, np.moveaxis(labels, slice_axis(header), 0) != IGNORE))))
            labeled.append([label for label in np.unique(labels).tolist() if label != IGNORE])
            if present[0] != present[-1] and self.dataset.ignore_label is None:  # partial masks need not agree
                other = f"the mask of {self.dataset.modalities[0]} has {present[0]}"
                fix = f"fix one, remove {case} from the list, or set data.ignore_label, with which masks may differ"
                raise ValueError(f"{path}: has labels {present[-1]}, but {other}; {fix}")
        return labeled


def sparse(labels: np.ndarray, header: Header, number: int) -> np.ndarray:
    """Return labels in some slices only, evenly spread over those with foreground; raises like `slice_axis`."""
    axis = slice_axis(header)
    filled = np.flatnonzero((labels > 0).any(axis=tuple(other for other in range(3) if other != axis)))
    filled = filled if len(filled) else np.arange(labels.shape[axis])
    kept = filled[((np.arange(number) + 0.5) * len(filled) / number).astype(int)]
    here = np.isin(np.arange(labels.shape[axis]), kept).reshape([-1 if other == axis else 1 for other in range(3)])
    return np.where(here, labels, np.asarray(IGNORE, labels.dtype))


class PseudoMask:
    """A continuous map in [0, 1] for the volumes of a single modality.

    A voxel is foreground from the threshold on, to center crops and to score against.
    """

    name = "pseudo"
    fill, marked = 0, ()
    settings: ClassVar[Mapping[str, Any]] = {}
    title = "pseudo-mask"
    dtype = np.float32
    nearest = False

    def __init__(self, dataset: Pairs, threshold: float) -> None:
        self.dataset, self.threshold = dataset, threshold

    def check(self, cases: Sequence[str], open_all: bool = False) -> list[str]:
        """Return all cases, each of which must have a map; maps are decoded only with `open_all`."""
        if len(self.dataset.modalities) > 1:
            names = ", ".join(self.dataset.modalities)
            fix = f"choose data.modalities of {names}"
            raise ValueError(f"supervision trains on maps, which need a single modality; {fix}")
        self.dataset.check(cases, "map")
        if open_all:
            check_each(lambda case: bool(self.read(case, self.dataset.modalities[0]).size), cases)
        return [*cases]

    def files(self, case: str, modality: str) -> list[Path]:
        return [self.dataset.file("map", case, modality)]

    def read(self, case: str, modality: str) -> np.ndarray:
        return self.dataset.move(read_map(self.dataset.file("map", case, modality)), case, modality, nearest=False)

    def foreground(self, crops: "Tensor") -> "Tensor":
        return crops >= self.threshold

    def collate(self, crops: Mapping[str, "Tensor"]) -> Any:
        [maps] = crops.values()
        return maps

    def labels(self, case: str, modality: str) -> np.ndarray:
        return (self.read(case, modality) >= self.threshold).astype(np.int64)


Target = Mask | PseudoMask
"""One type of annotation of volumes; see also `fovea.data.images.targets.Target`."""
