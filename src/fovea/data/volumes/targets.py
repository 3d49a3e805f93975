"""Targets of volumes: what a network is trained on or scored against, one class for each type of annotation."""

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
from tqdm import tqdm

from fovea.data.volumes.nifti import read_labels, read_map
from fovea.data.volumes.pairs import Pairs
from fovea.losses import IGNORE
from fovea.runtime.errors import first_few

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger(__name__)


class Target(Protocol):
    """One type of annotation of volumes; see also `fovea.data.targets.Target`, the same for images."""

    name: ClassVar[str]
    """Its key in a batch, and in the `needs` of a supervision mode."""
    key: ClassVar[str]
    """The first part of its keys in the list of cases."""
    title: ClassVar[str]
    """The title of its column in a contact sheet."""
    dtype: ClassVar[type[np.generic]]
    """The type of its arrays."""
    nearest: ClassVar[bool]
    """Whether resampling and augmentation take the nearest voxel instead of an interpolation."""

    def check(self, cases: Sequence[str], open_all: bool = False) -> list[str]:
        """Return the cases that have this target, and log the others.

        Args:
            cases: The cases.
            open_all: Also decode all files, as an evaluation will.

        Raises:
            ValueError: A file is missing or invalid.
        """

    def read(self, case: str, modality: str) -> np.ndarray:
        """Return the target of a volume, of the same shape.

        Raises:
            ValueError: The file is missing or damaged.
        """

    def foreground(self, crops: "Tensor") -> "Tensor":
        """Return which voxels of a volume a crop may be centered on, as booleans."""

    def collate(self, crops: Mapping[str, "Tensor"]) -> Any:
        """Return the crops [B, 1, *size] of each modality as a `fovea.supervision.batch.Batch` has them."""

    def labels(self, case: str, modality: str) -> np.ndarray:
        """Return class indices [D, H, W], int64, to score against."""


class Mask:
    """Class indices, -1 where nobody labeled a voxel.

    Args:
        dataset: The cases.
    """

    name: ClassVar[str] = "mask"
    key: ClassVar[str] = "mask"
    title: ClassVar[str] = "truth"
    dtype: ClassVar[type[np.generic]] = np.int16
    nearest: ClassVar[bool] = True

    def __init__(self, dataset: Pairs) -> None:
        self.dataset = dataset

    def check(self, cases: Sequence[str], open_all: bool = False) -> list[str]:
        """Return the cases whose masks have labeled voxels.

        Masks are opened only if some voxels may be unlabeled, or to compare the labels of several modalities.
        """
        self.dataset.check(cases, "mask")
        if len(self.dataset.modalities) == 1 and self.dataset.ignore_label is None and not open_all:
            return [*cases]
        with ThreadPoolExecutor() as pool:
            results = pool.map(self._is_labeled, cases)
            labeled = [*tqdm(results, "check masks", total=len(cases), unit="case", delay=2)]
        if empty := [case for case, known in zip(cases, labeled, strict=True) if not known]:
            log.warning("%d cases are left out, their masks have only ignored voxels: %s", len(empty), first_few(empty))
        return [case for case, known in zip(cases, labeled, strict=True) if known]

    def read(self, case: str, modality: str) -> np.ndarray:
        """Return a mask, int16."""
        path = self.dataset.file("mask", case, modality)
        labels = read_labels(path, len(self.dataset.labels), self.dataset.ignore_label)
        return self.dataset.move(labels, case, modality, nearest=True)

    def foreground(self, crops: "Tensor") -> "Tensor":
        """Return the voxels of all classes but the background."""
        return crops > 0

    def collate(self, crops: Mapping[str, "Tensor"]) -> Any:
        """Return float32 [B, 1, *size] of one class, or int64 [B, *size] of several, by modality."""
        if self.dataset.classes == 1:
            return {name: mask.float() for name, mask in crops.items()}
        return {name: mask[:, 0].long() for name, mask in crops.items()}

    def labels(self, case: str, modality: str) -> np.ndarray:
        """Return the mask as int64."""
        return self.read(case, modality).astype(np.int64)

    def _is_labeled(self, case: str) -> bool:
        """Return whether each mask of a case has labeled voxels; refuse masks with different labels."""
        present: list[list[int]] = []
        for name in self.dataset.modalities:
            path = self.dataset.file("mask", case, name)
            labels = np.unique(read_labels(path, len(self.dataset.labels), self.dataset.ignore_label)).tolist()
            present.append([label for label in labels if label != IGNORE])
            if present[0] != present[-1] and self.dataset.ignore_label is None:  # partial masks need not agree
                raise ValueError(
                    f"{path}: has labels {present[-1]}, but the mask of {self.dataset.modalities[0]} has {present[0]}; "
                    f"fix one, or remove {case} from the list"
                )
        return all(present)


class PseudoMask:
    """A continuous map in [0, 1] for the volumes of a single modality.

    Args:
        dataset: The cases.
        threshold: A voxel is foreground from this value on, to center crops and to score against.
    """

    name: ClassVar[str] = "pseudo"
    key: ClassVar[str] = "map"
    title: ClassVar[str] = "pseudo-mask"
    dtype: ClassVar[type[np.generic]] = np.float32
    nearest: ClassVar[bool] = False

    def __init__(self, dataset: Pairs, threshold: float) -> None:
        self.dataset, self.threshold = dataset, threshold

    def check(self, cases: Sequence[str], open_all: bool = False) -> list[str]:
        """Return all cases, each of which must have a map."""
        if len(self.dataset.modalities) > 1:
            names = self.dataset.modalities
            raise ValueError(f"supervision trains on pseudo, which serves one modality; choose one of {names}")
        self.dataset.check(cases, "map")
        for case in cases if open_all else ():
            self.read(case, self.dataset.modalities[0])
        return [*cases]

    def read(self, case: str, modality: str) -> np.ndarray:
        """Return a map, float32."""
        return self.dataset.move(read_map(self.dataset.file("map", case, modality)), case, modality, nearest=False)

    def foreground(self, crops: "Tensor") -> "Tensor":
        """Return the voxels at the threshold or above."""
        return crops >= self.threshold

    def collate(self, crops: Mapping[str, "Tensor"]) -> Any:
        """Return float32 [B, 1, *size]."""
        [maps] = crops.values()
        return maps

    def labels(self, case: str, modality: str) -> np.ndarray:
        """Return the map at the threshold."""
        return (self.read(case, modality) >= self.threshold).astype(np.int64)
