"""Cases of one or several modalities, listed in a JSON file."""

import json
import logging
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from os.path import commonprefix
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, TypeVar

import numpy as np
from pydantic import Field
from tqdm import tqdm

from fovea.data.labels import Classes, Labels
from fovea.data.splits import carve, carve_fold, check_disjoint, check_fold
from fovea.data.volumes.grid import Header, difference, order_of, slice_axis, slices_last
from fovea.data.volumes.misalignment import Misalignment
from fovea.data.volumes.nifti import read_header, read_labels, read_volume
from fovea.runtime.bounds import NonNegativeInt
from fovea.runtime.errors import first_few

KEYS = {"train": "training", "unlabeled": "unlabeled_training", "val": "validation", "test": "testing"}
"""The keys of the list, by split."""

AXES = ("left-right", "back-front", "feet-head")
log = logging.getLogger(__name__)
T = TypeVar("T")
R = TypeVar("R")


class Pairs:
    """Volumes of one or several modalities of each case, which need not be registered, as a JSON list names them.

    The list has `labels` (names by value, see `fovea.data.labels.Labels`) and the cases of each split under `training`,
    `unlabeled_training`, `validation` and `testing`. A case has `img_<modality>` and, if it is labeled,
    `mask_<modality>` or `map_<modality>`: paths below the folder of the list. `id` and `patient` are optional; the id
    defaults to the common prefix of the file names without `_<modality>`. Masks of unlabeled cases are never opened.

    `configs/data/paired_volumes.yaml` describes the arguments; `modalities` have the order of the networks. With
    `slices`, a volume is [H, W, slices] in this class, whatever its orientation: the axis across its slices is the last
    (see `fovea.data.volumes.grid.slice_axis`).
    """

    def __init__(
        self,
        root: str | Path,
        list: str,
        modalities: Sequence[str],
        classes: Classes,
        labeled_fraction: Annotated[float, Field(gt=0, lt=1)] | None = None,
        split_seed: NonNegativeInt = 0,
        misalignment: Misalignment | None = None,
        ignore_label: int | None = None,
        fold: Sequence[int] | None = None,
        slices: bool = False,
    ) -> None:
        self.root = Path(root).expanduser()
        self.path, self.modalities, self.classes = self.root / list, [*modalities], classes
        self.labeled_fraction, self.split_seed = labeled_fraction, split_seed
        self.misalignment, self.ignore_label = misalignment, ignore_label
        self.fold, self.slices = fold, slices
        if fold is not None:
            check_fold(fold)
        self.moved = (misalignment.modality if misalignment else None) or self.modalities[-1]
        if self.moved not in self.modalities:
            raise ValueError(f"misalignment.modality must be one of {', '.join(self.modalities)}, got {self.moved}")
        content = read_list(self.path)
        labels = Labels(content.get("labels") or {}, classes, f"{self.path}: labels")
        self.names, self.values = labels.names, labels.values
        if ignore_label in self.values:
            raise ValueError(f"ignore_label must not be one of the labels {[*self.values]}, got {ignore_label}")
        self.cases = read_cases(content, self.path)
        for name in self.modalities:
            if lacking := [case for case, entry in self.cases.items() if f"img_{name}" not in entry]:
                has = ", ".join(key.removeprefix("img_") for key in self.cases[lacking[0]] if key.startswith("img_"))
                few = f"{len(lacking)} of {len(self.cases)} cases have no img_{name} ({first_few(lacking)})"
                fix = "add it, leave these cases out, or set data.modalities=…"
                raise ValueError(f"{self.path}: {few}; {lacking[0]} has {has}; {fix}")
        self._headers: dict[Path, Header] = {}

    def splits(self) -> dict[str, list[str]]:
        """Return the ids of `train` (labeled), `unlabeled`, `val` and `test`; no patient or file is in two of them."""
        splits = {split: [case for case, entry in self.cases.items() if entry["split"] == split] for split in KEYS}
        if self.fold is not None:
            pool = [*splits["train"], *splits["val"]]
            number, folds = self.fold
            splits["train"], splits["val"] = carve_fold(pool, number, folds, self.split_seed, self.patient)
            drawn = {*map(self.patient, splits["val"])}
            splits["unlabeled"] = [case for case in splits["unlabeled"] if self.patient(case) not in drawn]
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
        return str(self.cases[case].get("patient", case)).strip()

    def has(self, what: str, case: str) -> bool:
        """Return whether a case has a `mask` or a `map` of each modality."""
        return all(f"{what}_{name}" in self.cases[case] for name in self.modalities)

    def file(self, what: str, case: str, modality: str) -> Path:
        """Return the path of an `img`, a `mask` or a `map`."""
        key = f"{what}_{modality}"
        if key not in self.cases[case]:
            raise ValueError(f"{self.path}: {case} has no {key}; add it, or move the case to another split")
        return self.root / self.cases[case][key]

    def image_path(self, case: str, modality: str) -> Path:
        """Return the path of a volume."""
        return self.file("img", case, modality)

    def mask_path(self, case: str, modality: str) -> Path:
        """Return the path of a mask; ValueError if there is none."""
        return self.file("mask", case, modality)

    def header(self, case: str, modality: str) -> Header:
        """Return the header of a volume, read once."""
        header = self._in_ras(case, modality)
        return slices_last(header) if self.slices else header

    def volume(self, case: str, modality: str) -> np.ndarray:
        """Return a volume, float32 [D, H, W] in RAS, or with its slices last."""
        return self.move(read_volume(self.image_path(case, modality)), case, modality, nearest=False)

    def mask(self, case: str, modality: str) -> np.ndarray:
        """Return the classes of a mask, int16 [D, H, W] like its volume, -1 where nobody labeled."""
        labels = read_labels(self.mask_path(case, modality), self.values, self.ignore_label)
        return self.move(labels, case, modality, nearest=True)

    def move(self, volume: np.ndarray, case: str, modality: str, nearest: bool) -> np.ndarray:
        """Return a volume in RAS, or its mask or map, with its slices last if asked, moved by the misalignment."""
        if self.slices:
            volume = np.ascontiguousarray(volume.transpose(order_of(self._in_ras(case, modality))))
        if self.misalignment is None or modality != self.moved:
            return volume
        return self.misalignment.move(volume, self.header(case, modality).spacing, case, nearest)

    def across(self, cases: Sequence[str]) -> str:
        """Describe the axes across the slices of some cases."""
        axes = [AXES[slice_axis(self._in_ras(case, name))] for case in cases for name in self.modalities]
        return ", ".join(f"{axis} in {number} volumes" for axis, number in Counter(axes).items())

    def check(self, cases: Sequence[str], what: str | None = None) -> None:
        """Check the headers of the volumes of some cases, and that their `mask` or `map` files have the same grid.

        Log each file that is missing, damaged or on another grid; a ValueError names the first.
        """
        images = [(case, name) for case in cases for name in self.modalities]
        check_each(lambda image: self._check(*image, what), images)

    def _check(self, case: str, modality: str, what: str | None) -> None:
        self.header(case, modality)  # refuses a volume without slices
        volume = self._in_ras(case, modality)
        if what and (differs := difference(mask := read_header(self.file(what, case, modality)), volume)):
            raise ValueError(f"{mask.path}: {differs}; resample it to the grid of its volume")

    def _in_ras(self, case: str, modality: str) -> Header:
        path = self.image_path(case, modality)
        if path not in self._headers:
            self._headers[path] = read_header(path)
        return self._headers[path]

    def _draw_labeled(self, fraction: float, training: Sequence[str]) -> tuple[list[str], list[str]]:
        """Return labeled and unlabeled cases for a fraction of labeled ones."""
        pool = [case for case in training if self.has("mask", case)]
        patients = len({self.patient(case) for case in pool})
        if round(fraction * patients) < 1:
            fix = f"give {0.6 / patients:.2g} or more" if patients else "list masks, or leave it out"
            raise ValueError(f"labeled_fraction={fraction:g} of {patients} cases with masks labels none; {fix}")
        _, labeled = carve(pool, fraction, self.split_seed, self.patient, kept=len(training) == len(pool))
        return labeled, sorted({*training} - {*labeled})


def read_list(path: Path) -> dict[str, Any]:
    """Read the JSON object that lists the cases."""
    example = "docs/volumes.md has an example"
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise ValueError(f"data.root: no {path.name} in {path.parent}; {example}") from error
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: cannot be read as JSON ({error}); {example}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: a list of cases must be a JSON object; {example}")
    return content


def read_cases(content: Mapping[str, Any], path: Path) -> dict[str, dict[str, Any]]:
    """Return all cases by id, with their split."""
    if wrong := [key for key in KEYS.values() if not isinstance(content.get(key) or [], list)]:
        raise ValueError(f"{path}: {wrong[0]} must be a list of cases; docs/volumes.md has an example")
    entries = [(split, entry) for split, key in KEYS.items() for entry in content.get(key) or []]
    if not any(split in ("train", "unlabeled") for split, _ in entries):
        raise ValueError(f"{path}: no case under training; docs/volumes.md has an example")
    for _, entry in entries:
        if not isinstance(entry, dict) or not any(key.startswith("img_") for key in entry):
            raise ValueError(f"{path}: {entry!r} is not a case; write an object with img_<modality>")
        for key in ("id", "patient"):
            if key in entry and not (isinstance(entry[key], str | int) and str(entry[key]).strip()):
                raise ValueError(f"{path}: {key} {entry[key]!r} is not a name; write it as text, or leave {key} out")
    named = [(entry, _stems(entry)) for _, entry in entries]
    ids = [str(entry.get("id", commonprefix(stems).rstrip("_-+"))) for entry, stems in named]  # noqa: RUF071 (of names)
    if len({*ids}) < len(ids) or not all(ids):
        ids = [str(entry.get("id", "+".join(dict.fromkeys(stems)))) for entry, stems in named]
    cases: dict[str, dict[str, Any]] = {}
    for case, (split, entry) in zip(ids, entries, strict=True):
        if case in cases:
            raise ValueError(f"{path}: {case} is listed twice; give each case its own id")
        if not case or case.startswith(".") or any(character in case for character in '/\\\0"'):
            raise ValueError(f"{path}: {case!r} is not a valid id; an id is a name without a folder")
        files = {key: _inside(value, path) for key, value in entry.items() if key.startswith(("img_", "mask_", "map_"))}
        cases[case] = {**entry, **files, "split": split}
    return cases


def image_id(case: str, modality: str) -> str:
    """Return the id of one modality of a case, in scores and in the names of predictions."""
    return f"{case}_{modality}"


def _inside(value: Any, path: Path) -> str:
    """Return a path of the list; refuse one that leads out of its folder."""
    relative = PurePosixPath(str(value).replace("\\", "/"))
    parts = relative.parts
    if not isinstance(value, str) or not parts:
        fix = "give one below the folder of the list, or leave its key out"
        raise ValueError(f"{path}: {value!r} is not a path; {fix}")
    if relative.is_absolute() or ".." in parts or ":" in parts[0]:
        raise ValueError(f"{path}: {value!r} leads out of the folder of the list; give a path below it")
    return str(relative)


def _stems(entry: Mapping[str, Any]) -> list[str]:
    """Return the names of the images of a case, without `_<modality>` and suffixes."""
    names = [(key[4:], PurePosixPath(str(value)).name) for key, value in entry.items() if key.startswith("img_")]
    return [re.sub(rf"(_{re.escape(modality)})?(\.nii)?(\.gz)?$", "", name, flags=re.I) for modality, name in names]


def check_each(check: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Return what a check returns for each item. If some are invalid, log a line for each, then raise one error."""

    def caught(item: T) -> R | ValueError:
        try:
            return check(item)
        except ValueError as error:
            return error

    with ThreadPoolExecutor() as pool:
        results = [*tqdm(pool.map(caught, items), "check", total=len(items), unit="case", delay=2)]
    errors = [result for result in results if isinstance(result, ValueError)]
    if not errors:
        return [result for result in results if not isinstance(result, ValueError)]
    if len(errors) == 1:
        raise errors[0]
    for error in errors:
        log.error("%s", error)
    raise ValueError(f"{len(errors)} of {len(items)} are invalid, each has a line above; the first: {errors[0]}")
