"""Cases of one or several modalities, listed in a JSON file."""

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field
from tqdm import tqdm

from fovea.data.splits import carve, check_disjoint
from fovea.data.volumes.case_list import KEYS, read_cases, read_list, read_names
from fovea.data.volumes.misalignment import Misalignment
from fovea.data.volumes.nifti import Header, read_header, read_labels, read_map, read_volume
from fovea.losses import IGNORE
from fovea.runtime.bounds import Count, NonNegativeInt
from fovea.runtime.errors import first_few

TOLERANCE = 1e-3  # mm a voxel; how far the affines of a volume and its mask may differ
log = logging.getLogger(__name__)


class Pairs:
    """Volumes of one or several modalities of each case, which need not be registered, as a JSON list names them.

    The list has `labels` (names by number, 0 the background) and the cases of each split under `training`,
    `unlabeled_training`, `validation` and `testing`. A case has `img_<modality>` and, if it is labeled,
    `mask_<modality>` or `map_<modality>`: paths below the folder of the list. `id` and `patient` are optional; the id
    defaults to the common prefix of the file names. Masks of unlabeled cases are never opened.

    Args:
        root: Folder of the list.
        list: Name of the list.
        modalities: The modalities to use, in the order of the networks.
        classes: Number of labels with the background; 1 or 2 if there is one structure.
        labeled_fraction: Fraction of all training cases with masks that counts as labeled, drawn by patient; the others
            are unlabeled. None: as the list has it.
        split_seed: Seed of that draw.
        misalignment: Moves the volumes of one modality as they are read.
        ignore_label: Value of voxels without a label in mask files; see `fovea.losses.IGNORE`.

    Raises:
        ValueError: The list cannot be read, names a path outside its folder, or does not fit the arguments.
    """

    def __init__(
        self,
        root: str | Path,
        list: str,
        modalities: Sequence[str],
        classes: Count,
        labeled_fraction: Annotated[float, Field(gt=0, lt=1)] | None = None,
        split_seed: NonNegativeInt = 0,
        misalignment: Misalignment | None = None,
        ignore_label: int | None = None,
    ) -> None:
        self.root = Path(root).expanduser()
        self.path = self.root / list
        self.modalities = [*modalities]
        self.classes = classes
        self.labeled_fraction = labeled_fraction
        self.split_seed = split_seed
        self.misalignment = misalignment
        self.ignore_label = ignore_label
        self.moved = (misalignment.modality if misalignment else None) or self.modalities[-1]
        if self.moved not in self.modalities:
            raise ValueError(f"misalignment.modality must be one of {', '.join(self.modalities)}, got {self.moved}")
        content = read_list(self.path)
        self.labels = read_names(content, classes, self.path)
        if ignore_label in self.labels:
            raise ValueError(f"ignore_label must not be one of the labels 0 to {max(self.labels)}, got {ignore_label}")
        self.cases = read_cases(content, self.path)
        for case, entry in self.cases.items():
            if missing := [name for name in self.modalities if f"img_{name}" not in entry]:
                present = [key.removeprefix("img_") for key in entry if key.startswith("img_")]
                raise ValueError(
                    f"{self.path}: {case} has no img_{missing[0]}; it has {', '.join(present) or 'no modality'} "
                    "(data.modalities=…)"
                )
        self._headers: dict[Path, Header] = {}

    @property
    def names(self) -> list[str]:
        """Names of the classes without the background; none if there is one structure."""
        return [self.labels[number] for number in range(1, self.classes)]

    def splits(self) -> dict[str, list[str]]:
        """Return the ids of `train` (labeled), `unlabeled`, `val` and `test`.

        Raises:
            ValueError: A patient or a file is in two of them, or no labeled case is left.
        """
        splits = {split: [case for case, entry in self.cases.items() if entry["split"] == split] for split in KEYS}
        if self.labeled_fraction is not None:
            splits["train"], splits["unlabeled"] = self._draw_labeled(
                self.labeled_fraction, [*splits["train"], *splits["unlabeled"]]
            )
        held = {"train": [*splits["train"], *splits["unlabeled"]], "val": splits["val"], "test": splits["test"]}
        check_disjoint(held, self.patient)
        homes: dict[Path, str] = {}
        for split, cases in held.items():
            for path in (self.image_path(case, name) for case in cases for name in self.modalities):
                if homes.setdefault(path, split) != split:
                    raise ValueError(f"{self.path}: {path.name} is both in {homes[path]} and in {split}; list it once")
        return splits

    def patient(self, case: str) -> str:
        """Return the patient ID of a case."""
        return str(self.cases[case].get("patient", case))

    def has_masks(self, case: str) -> bool:
        """Return whether each modality of a case has a mask."""
        return all(f"mask_{name}" in self.cases[case] for name in self.modalities)

    def image_path(self, case: str, modality: str) -> Path:
        """Return the path of a volume."""
        return self.root / self.cases[case][f"img_{modality}"]

    def mask_path(self, case: str, modality: str) -> Path:
        """Return the path of a mask; refuse a case without one."""
        return self._optional_path("mask", case, modality)

    def map_path(self, case: str, modality: str) -> Path:
        """Return the path of a continuous map; refuse a case without one."""
        return self._optional_path("map", case, modality)

    def _optional_path(self, what: str, case: str, modality: str) -> Path:
        if f"{what}_{modality}" not in self.cases[case]:
            raise ValueError(f"{self.path}: {case} has no {what}_{modality}; add it, or move the case to another split")
        return self.root / self.cases[case][f"{what}_{modality}"]

    def header(self, case: str, modality: str) -> Header:
        """Return the header of a volume, read once; see `fovea.data.volumes.nifti.read_header` for errors."""
        path = self.image_path(case, modality)
        if path not in self._headers:
            self._headers[path] = read_header(path)
        return self._headers[path]

    def volume(self, case: str, modality: str) -> np.ndarray:
        """Return a volume, float32 [D, H, W] in RAS; see `fovea.data.volumes.nifti.read_volume` for errors."""
        volume = read_volume(self.image_path(case, modality))
        return self._move(volume, case, modality, nearest=False)

    def mask(self, case: str, modality: str) -> np.ndarray:
        """Return the labels of a volume, int16 of its shape; see `fovea.data.volumes.nifti.read_labels` for errors."""
        path = self.mask_path(case, modality)
        return self._move(read_labels(path, len(self.labels), self.ignore_label), case, modality, nearest=True)

    def map(self, case: str, modality: str) -> np.ndarray:
        """Return the map of a volume, float32 of its shape; see `fovea.data.volumes.nifti.read_map` for errors."""
        return self._move(read_map(self.map_path(case, modality)), case, modality, nearest=False)

    def check(self, cases: Sequence[str], masks: bool) -> list[str]:
        """Check the headers of all files of some cases and, once, the labels of their masks.

        Args:
            cases: Their ids.
            masks: Whether their masks are read too; otherwise no mask is opened.

        Returns:
            The cases without those whose mask has only ignored voxels; a warning names these.

        Raises:
            ValueError: See `header` and `mask_path`; also, a mask is on another grid than its volume, or the masks of
                a case have different labels.
        """
        for case in cases:
            for name in self.modalities:
                header = self.header(case, name)
                if masks:
                    check_grid(self.mask_path(case, name), header)
        if not masks or (len(self.modalities) == 1 and self.ignore_label is None):
            return [*cases]
        with ThreadPoolExecutor() as pool:
            results = pool.map(self._is_labeled, cases)
            labeled = [*tqdm(results, "check masks", total=len(cases), unit="case", delay=2)]
        if empty := [case for case, known in zip(cases, labeled, strict=True) if not known]:
            log.warning("%d cases are left out, their masks have only ignored voxels: %s", len(empty), first_few(empty))
        return [case for case, known in zip(cases, labeled, strict=True) if known]

    def _is_labeled(self, case: str) -> bool:
        """Return whether each mask of a case has labeled voxels; refuse masks with different labels."""
        present: dict[Path, list[int]] = {}
        for name in self.modalities:
            path = self.mask_path(case, name)
            labels = np.unique(read_labels(path, len(self.labels), self.ignore_label)).tolist()
            present[path] = [label for label in labels if label != IGNORE]
        first, *others = present.items()
        for path, labels in others:
            if labels != first[1] and self.ignore_label is None:  # partial masks need not agree
                raise ValueError(
                    f"{path}: labels {labels}, but {first[0]} has {first[1]}; fix one, or remove {case} from the list"
                )
        return all(present.values())

    def _move(self, volume: np.ndarray, case: str, modality: str, nearest: bool) -> np.ndarray:
        """Return a volume, or its labels, moved by the misalignment."""
        if self.misalignment is None or modality != self.moved:
            return volume
        move = self.misalignment.mask if nearest else self.misalignment.image
        return move(volume, self.header(case, modality).spacing, case)

    def _draw_labeled(self, fraction: float, training: Sequence[str]) -> tuple[list[str], list[str]]:
        """Return labeled and unlabeled cases for a fraction of labeled ones."""
        pool = [case for case in training if self.has_masks(case)]
        patients = len({self.patient(case) for case in pool})
        if round(fraction * patients) < 1:
            raise ValueError(
                f"labeled_fraction={fraction:g} of {patients} cases with masks leaves no labeled one; give "
                f"{1 / max(patients, 1):.2g} or more"
            )
        _, labeled = carve(pool, fraction, self.split_seed, self.patient)
        return labeled, sorted({*training} - {*labeled})


def check_grid(path: Path, image: Header) -> None:
    """Refuse a mask or map that is on another grid than its volume."""
    header = read_header(path)
    if header.shape != image.shape or np.abs(header.affine - image.affine).max() > TOLERANCE * max(image.shape):
        raise ValueError(
            f"{path}: shape {header.shape}, but its volume has shape {image.shape} or another affine; resample it to "
            "the grid of its volume"
        )
