"""Cases of several modalities, listed in a JSON file: some labelled, most not."""

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from fovea.data.splits import carve, check_disjoint
from fovea.data.volumes.misalignment import Misalignment
from fovea.data.volumes.nifti import Header, read_header, read_labels, read_volume
from fovea.runtime.errors import first_few

KEYS = {"train": "training", "unlabeled": "unlabeled_training", "val": "validation", "test": "testing"}
"""Of the list, by split."""
SAME = 1e-3  # mm; how far the affines of an image and its mask may be apart


class Pairs:
    """Volumes of two or more modalities of each case, which need not be aligned, as a JSON list names them.

    The list has `labels` (names by number, 0 the background) and the cases of each split under `training`,
    `unlabeled_training`, `validation` and `testing`. A case has `img_<modality>` and, where it is labelled,
    `mask_<modality>`, paths below the list's folder; `id` and `patient` if it likes, else it is named after its files
    and counts as a patient of its own. Nothing else of it is read, and no mask of an unlabelled case is ever opened.

    Args:
        root: Folder of the list.
        list: Name of the list.
        modalities: Those that are used, in the order of the networks.
        classes: Labels, the background included.
        labeled_fraction: Part of all training cases that have masks to count as labelled, in (0, 1), drawn by patient
            and rounded; the others are unlabelled. None: as the list has it.
        split_seed: Of that draw.
        misalignment: Moves the volumes of a modality as they are read.

    Raises:
        ValueError: the list cannot be read, names a path outside its folder, or fits neither modalities nor classes.
    """

    def __init__(
        self,
        root: str | Path,
        list: str,
        modalities: Sequence[str],
        classes: int,
        labeled_fraction: float | None = None,
        split_seed: int = 0,
        misalignment: Misalignment | None = None,
    ) -> None:
        self.root = Path(root).expanduser()
        self.path = self.root / list
        self.modalities = [*modalities]
        self.classes = classes
        self.labeled_fraction = labeled_fraction
        self.split_seed = split_seed
        self.misalignment = misalignment
        self.moved = (misalignment.modality if misalignment else None) or self.modalities[-1]
        if self.moved not in self.modalities:
            raise ValueError(f"data.misalignment.modality={self.moved}: there is {', '.join(self.modalities)}")
        content = _content(self.path)
        self.labels = _labels(content, classes, self.path)
        self.cases = _cases(content, self.path)
        for case in self.cases.values():
            self._check_keys(case)

    def splits(self) -> dict[str, list[str]]:
        """The ids of `train` (labelled), `unlabeled`, `val` and `test`.

        Raises:
            ValueError: a patient or a file is in two of them, or no labelled case is left.
        """
        found = {split: [case for case, each in self.cases.items() if each["split"] == split] for split in KEYS}
        if self.labeled_fraction is not None:
            found["train"], found["unlabeled"] = self._drawn(found["train"], found["unlabeled"])
        held = {"train": [*found["train"], *found["unlabeled"]], "val": found["val"], "test": found["test"]}
        check_disjoint(held, self.patient)
        homes: dict[Path, str] = {}
        for split, cases in held.items():
            for path in (self.image_path(case, name) for case in cases for name in self.modalities):
                if homes.setdefault(path, split) != split:
                    raise ValueError(f"{self.path}: {path.name} is both in {homes[path]} and in {split}; list it once")
        return found

    def patient(self, case: str) -> str:
        """The patient of a case, whom no two splits share."""
        return str(self.cases[case].get("patient", case))

    def has_masks(self, case: str) -> bool:
        """Whether each modality of a case has a mask."""
        return all(f"mask_{name}" in self.cases[case] for name in self.modalities)

    def image_path(self, case: str, modality: str) -> Path:
        """Where a volume lies."""
        return self.root / self.cases[case][f"img_{modality}"]

    def mask_path(self, case: str, modality: str) -> Path:
        """Where a mask lies.

        Raises:
            ValueError: the case has none.
        """
        if f"mask_{modality}" not in self.cases[case]:
            raise ValueError(f"{self.path}: {case} has no mask_{modality}; add it, or move the case to another split")
        return self.root / self.cases[case][f"mask_{modality}"]

    def header(self, case: str, modality: str) -> Header:
        """Shape and spacing of a volume in RAS; see `fovea.data.volumes.nifti.read_header` for errors."""
        return read_header(self.image_path(case, modality))

    def volume(self, case: str, modality: str) -> np.ndarray:
        """A volume, float32 [D, H, W] in RAS; see `fovea.data.volumes.nifti.read_volume` for errors."""
        return self._moved(read_volume(self.image_path(case, modality)), case, modality)

    def mask(self, case: str, modality: str) -> np.ndarray:
        """The labels of a volume, uint8 of its shape.

        Raises:
            ValueError: see `fovea.data.volumes.nifti.read_labels`; also, the masks of the other modalities have other
                labels.
        """
        labels = {name: self._mask(case, name) for name in self.modalities}
        present = {name: np.unique(each).tolist() for name, each in labels.items()}
        for name, values in present.items():
            if values != present[modality]:
                paths = (
                    f"{self.mask_path(case, modality)} has {present[modality]}, {self.mask_path(case, name)} {values}"
                )
                raise ValueError(f"{case}: its masks have different labels: {paths}; mend one, or leave the case out")
        return self._moved(labels[modality], case, modality)

    def check(self, cases: Iterable[str], masks: bool) -> None:
        """Make sure that all files that a command is going to read are there, and that their headers make sense.

        Args:
            cases: Their ids.
            masks: Whether their masks are going to be read too; else these are left alone.

        Raises:
            ValueError: see `header` and `mask_path`; also, a mask is on another grid than its volume.
        """
        for case in cases:
            for name in self.modalities:
                header = self.header(case, name)
                if masks:
                    self._check_grid(case, name, header)

    def _check_grid(self, case: str, modality: str, image: Header) -> None:
        path = self.mask_path(case, modality)
        mask = read_header(path)
        if mask.shape != image.shape or np.abs(mask.affine - image.affine).max() > SAME * max(image.shape):
            raise ValueError(
                f"{path}: of {mask.shape} voxels, on another grid than {self.image_path(case, modality)} of "
                f"{image.shape}; resample the mask to its volume"
            )

    def _mask(self, case: str, modality: str) -> np.ndarray:
        return read_labels(self.mask_path(case, modality), self.classes)

    def _moved(self, volume: np.ndarray, case: str, modality: str) -> np.ndarray:
        """A volume, or its labels, where the misalignment puts it."""
        if self.misalignment is None or modality != self.moved:
            return volume
        move = self.misalignment.mask if volume.dtype == np.uint8 else self.misalignment.image
        return move(volume, self.header(case, modality).spacing, case)

    def _check_keys(self, case: Mapping[str, Any]) -> None:
        if missing := [name for name in self.modalities if f"img_{name}" not in case]:
            known = [key.removeprefix("img_") for key in case if key.startswith("img_")]
            raise ValueError(
                f"{self.path}: {case['id']} has no img_{missing[0]}; it has {', '.join(known) or 'no modality'} "
                "(data.modalities=…)"
            )

    def _drawn(self, labeled: Sequence[str], unlabeled: Sequence[str]) -> tuple[list[str], list[str]]:
        """Labelled and unlabelled cases where a fraction is to be labelled."""
        fraction = self.labeled_fraction
        assert fraction is not None
        if not 0 < fraction < 1:
            raise ValueError(f"data.labeled_fraction={fraction}: give a part in (0, 1), or null for the list's own")
        pool = [case for case in (*labeled, *unlabeled) if self.has_masks(case)]
        patients = len({self.patient(case) for case in pool})
        if round(fraction * patients) < 1:
            raise ValueError(
                f"data.labeled_fraction={fraction} of {patients} cases with masks leaves no labelled one; give "
                f"{1 / max(patients, 1):.2g} or more"
            )
        _, drawn = carve(pool, fraction, self.split_seed, self.patient)
        return drawn, sorted({*labeled, *unlabeled} - {*drawn})

    @cached_property
    def names(self) -> list[str]:
        """Names of the classes but the background."""
        return [self.labels[number] for number in range(1, self.classes)]


def _content(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ValueError(
            f"data.root: no {path.name} in {path.parent}; docs/volumes.md says how to write one"
        ) from error
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: cannot be read as JSON ({error}); docs/volumes.md has an example") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: a list of cases is a JSON object; docs/volumes.md has an example")
    return content


def _labels(content: Mapping[str, Any], classes: int, path: Path) -> dict[int, str]:
    """Names of the classes by number."""
    given = content.get("labels")
    try:
        labels = {int(number): str(name) for number, name in given.items()} if isinstance(given, dict) else {}
    except ValueError:
        labels = {}
    if sorted(labels) != [*range(len(labels))] or len(set(labels.values())) < len(labels) or len(labels) < 2:
        raise ValueError(f'{path}: labels: {given}; give different names by number, as {{"0": "background", "1": …}}')
    # Tables have the columns of a class and of an output side by side.
    if taken := [name for name in labels.values() if name == "prediction" or name.startswith("level_")]:
        raise ValueError(
            f"{path}: labels: {taken[0]} is what a table calls an output of the network; name it otherwise"
        )
    if len(labels) != classes:
        raise ValueError(
            f"data.classes={classes}, but {path} names {len(labels)} labels; set data.classes={len(labels)}"
        )
    return labels


def _cases(content: Mapping[str, Any], path: Path) -> dict[str, dict[str, Any]]:
    """All cases by id, with their split."""
    entries = [(split, entry) for split, key in KEYS.items() for entry in content.get(key) or []]
    if not any(split == "train" for split, _ in entries) and not any(split == "unlabeled" for split, _ in entries):
        raise ValueError(f"{path}: no case under training; docs/volumes.md has an example")
    for _, entry in entries:
        if not isinstance(entry, dict):
            raise ValueError(f"{path}: {entry!r} is no case; write an object with img_<modality>")
    names = [str(entry["id"]) if "id" in entry else _prefix(entry) for _, entry in entries]
    if len(set(names)) < len(names) or not all(names):
        names = [str(entry["id"]) if "id" in entry else "+".join(_stems(entry)) for _, entry in entries]
    if len(set(names)) < len(names):
        twice = [name for name in names if names.count(name) > 1]
        raise ValueError(f"{path}: {first_few(dict.fromkeys(twice))}: listed twice; give each case an id of its own")
    cases = {}
    for name, (split, entry) in zip(names, entries, strict=True):
        if not name or name.startswith(".") or any(character in name for character in '/\\\0"'):
            raise ValueError(f"{path}: {name!r} is no id of a case; ids are names without a folder")
        files = {key: _inside(value, path) for key, value in entry.items() if key.startswith(("img_", "mask_"))}
        cases[name] = {**entry, **files, "id": name, "split": split}
    return cases


def _inside(value: Any, path: Path) -> str:
    """A path of the list, which must not lead out of its folder."""
    given = PurePosixPath(str(value).replace("\\", "/"))
    parts = given.parts  # none of ".", which is the folder itself
    if not isinstance(value, str) or not parts or given.is_absolute() or ".." in parts or ":" in parts[0]:
        raise ValueError(f"{path}: {value!r} leads out of the folder of the list; give paths below it")
    return str(given)


def _stems(entry: Mapping[str, Any]) -> list[str]:
    """The names of an entry's images, without suffixes."""
    return [PurePosixPath(str(value)).name.split(".")[0] for key, value in entry.items() if key.startswith("img_")]


def _prefix(entry: Mapping[str, Any]) -> str:
    """What the names of an entry's images begin with."""
    letters = zip(*_stems(entry), strict=False)
    return "".join(each[0] for each in takewhile(lambda those: len({*those}) == 1, letters)).rstrip("_-+")
