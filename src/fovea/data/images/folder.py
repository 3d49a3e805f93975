"""A folder of images and masks, and the lists of its splits."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import Literal, Self

import numpy as np

from fovea.data.images.files import SUFFIXES, Exif, image_files, image_size, is_turned, read_image, warn_orientations
from fovea.data.images.masks import read_mask
from fovea.data.labels import Classes, Labels
from fovea.data.names import Names
from fovea.data.splits import carve, carve_fold, check_disjoint, check_fold, read_list
from fovea.data.table import read_rows
from fovea.losses import IGNORE
from fovea.runtime.bounds import NonNegativeInt, Progress, Window
from fovea.runtime.errors import first_few, nearest

log = logging.getLogger(__name__)


class Folder:
    """Images in `<root>/images`, masks with the same stems in `<root>/masks`, lists of stems in `<root>/*.txt`.

    `<root>/patients.csv` (`IMAGE`, `patient`) is optional; without it each image is a patient.

    The masks are optional, and their folder is not opened before a mask is read: training under weak labels works
    without it. The lists are optional too. Without any list a seed draws the splits. Without `train.txt` the training
    images are those that no other list names. Without `test.txt` there are no test images.

    `configs/data/base.yaml` and `folder.yaml` describe the arguments. Under `protocol=published`, nothing is validated.
    A ValueError for no such folder, or an invalid argument.
    """

    image_suffixes = SUFFIXES  # a subclass with other files also overrides `decode` and `size`
    stretched = False  # whether images are scaled from their lowest to their highest value if there is no range

    def __init__(
        self,
        root: str | Path,
        channels: Literal[1, 3] = 3,
        classes: Classes = 1,
        protocol: Literal["clean", "published"] = "clean",
        val_fraction: Progress = 0.1,
        test_fraction: Progress = 0.2,
        split_seed: NonNegativeInt = 0,
        fold: Sequence[int] | None = None,
        ignore_label: NonNegativeInt | None = None,
        labels: Mapping[int, str] | None = None,
        range: Window | None = None,
        exif: Exif = "ignore",
    ) -> None:
        self.root = Path(root).expanduser()
        self.channels, self.classes, self.ignore_label = channels, classes, ignore_label
        self.protocol, self.val_fraction, self.test_fraction = protocol, val_fraction, test_fraction
        self.split_seed, self.fold, self.range, self.exif = split_seed, fold, range, exif
        if not self.root.is_dir():
            near = nearest([self.root.name], sorted(path.name for path in self.root.parent.glob("*/")))
            raise ValueError(f"no such folder {self.root}{near}; set root to the folder that holds images/")
        given = Labels(labels, classes)
        self.names, self.values = given.names, given.values if labels else None
        if ignore_label in given.values:
            raise ValueError(f"ignore_label={ignore_label} is a class; give a value that no class has, e.g. 255")
        if fold is not None:
            check_fold(fold)
            if protocol != "clean":
                raise ValueError(f"protocol={protocol} has no val images; folds need protocol=clean")
        if range is not None:
            if not range[0] < range[1]:
                raise ValueError(f"range must be [low, high] with low below high, e.g. [0,4095], got {range}")
            log.info("data.range: %g and %g of images of more than 8 bits become 0 and 255", *range)

    @property
    def ids(self) -> list[str]:
        """The stems of all images on disk, sorted."""
        return list(self._images)

    def lists(self) -> Mapping[str, list[str]]:
        """Return the listed ids by split: train, val, test and unlabeled, as far as there are lists."""
        paths = {split: self.root / f"{split}.txt" for split in ("train", "val", "test", "unlabeled")}
        return {split: read_list(path, self._images) for split, path in paths.items() if path.exists()}

    def splits(self) -> dict[str, list[str]]:
        """Return the ids of `train`, `val` and `test`, and of `unlabeled` if listed, whether on disk or not.

        A ValueError if a list cannot be read, or a patient is in two splits.
        """
        listed = self.lists()
        val = listed.get("val")
        if "train" in listed:
            train, test = listed["train"], listed.get("test", [])
        else:
            named = {image_id for ids in listed.values() for image_id in ids}
            train, test = [image_id for image_id in self.ids if image_id not in named], listed.get("test", [])
            if not listed.keys() - {"unlabeled"}:
                train, test = carve(train, self.test_fraction, self.split_seed, self.patient)
        if self.protocol == "published":
            val = []
        elif self.fold is not None:
            number, folds = self.fold
            train, val = carve_fold([*train, *(val or ())], number, folds, self.split_seed, self.patient)
        elif val is None:
            train, val = carve(train, self.val_fraction, self.split_seed, self.patient)
        splits = {"train": train, "val": val, "test": test}
        if "unlabeled" in listed:
            drawn = [
                *(val if "val" not in listed or self.fold is not None else ()),
                *(() if "test" in listed else test),
            ]
            held = {*map(self.patient, drawn)}
            splits["unlabeled"] = [name for name in listed["unlabeled"] if self.patient(name) not in held]
            check_disjoint({"train": train, "unlabeled": splits["unlabeled"]})
        check_disjoint({**splits, "train": [*train, *splits.get("unlabeled", ())], "unlabeled": []}, self.patient)
        return splits

    def patient(self, image_id: str) -> str:
        """Return the patient ID of an image; no two splits share a patient."""
        return self._patients.get(image_id, image_id)

    def image(self, image_id: str) -> np.ndarray:
        """Return an image, uint8 [H, W, channels]; ValueError if there is none or it cannot be decoded."""
        return self.decode(self.image_path(image_id), self.channels, self.range, self.exif)

    @staticmethod
    def decode(path: Path, channels: int, range: Window | None = None, exif: Exif = "ignore") -> np.ndarray:
        """Decode an image file of this type, in `images/` or elsewhere, to uint8 [H, W, channels]."""
        return read_image(path, channels, range, exif)

    def mask(self, image_id: str) -> np.ndarray:
        """Return a mask [H, W]: classes as uint8, or with `ignore_label` as int16, -1 where nobody labeled.

        A ValueError if there is none, it cannot be decoded, or its size is not that of the image.
        """
        path = self.mask_path(image_id)
        mask = read_mask(path, self.classes, self.ignore_label, self.values, self.exif)
        if mask.shape != self.size(image_id):
            (height, width), (rows, columns) = self.size(image_id), mask.shape
            raise ValueError(f"{path} is {columns} x {rows} pixels, but its image is {width} x {height}; replace one")
        return mask

    def checked_image(self, image_id: str) -> np.ndarray:
        """Return an image; a ValueError unless it is uint8 [H, W, channels], since this class may be yours."""
        image = self.image(image_id)
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != self.channels:
            must, got = f"must be uint8 [H, W, {self.channels}]", f"{image.dtype} {list(image.shape)}"
            raise ValueError(f"data.dataset: {type(self).__name__}.image of {image_id} {must}, got {got}")
        return image

    def checked_mask(self, image_id: str) -> np.ndarray:
        """Return a mask; a ValueError unless it is what `Folder.mask` returns, since this class may be yours."""
        mask = self.mask(image_id)
        if type(self).mask is Folder.mask:  # checked against its image already
            return mask
        least, most = 0 if self.ignore_label is None else IGNORE, max(self.classes, 2) - 1
        size = self.size(image_id)
        if mask.dtype.kind not in "biu" or mask.shape != size or mask.min() < least or mask.max() > most:
            must = f"must be integers from {least} to {most}, {list(size)}, the size of the image"
            got = f"{mask.dtype} {list(mask.shape)} from {mask.min():g} to {mask.max():g}"
            raise ValueError(f"data.dataset: {type(self).__name__}.mask of {image_id} {must}, got {got}")
        return mask

    def warn_of_classes(self) -> None:
        """Log that all structures of a mask count as one, where labels and maps have one class."""
        if self.classes > 1:
            fix = "to choose some, set data.classes=1 and call the others background in data.labels"
            what = "labels and maps have one class, so all structures of a mask count as one"
            log.warning("data.classes=%d: %s; %s", self.classes, what, fix)

    def size(self, image_id: str) -> tuple[int, int]:
        """Return the native height and width of an image in pixels, from the header of the file."""
        return image_size(self.image_path(image_id), self.exif)

    def spacing(self, image_id: str) -> tuple[float, float] | None:
        """Return the height and width of a pixel in mm; None, as here, if they are unknown."""
        return None

    def common_spacing(self, ids: Sequence[str]) -> tuple[dict[str, tuple[float, float]], str]:
        """Return the spacing by id and its unit: mm if all images have one, else px, as the two have no common mean.

        A ValueError if the header of an image cannot be read.
        """
        known = {image_id: spacing for image_id in ids if (spacing := self.spacing(image_id)) is not None}
        if len(known) == len(ids):
            return known, "mm"
        if known:
            unknown = [image_id for image_id in ids if image_id not in known]
            few = first_few(unknown)
            log.warning("%d images have no pixel spacing, so distances are in pixels: %s", len(unknown), few)
        return dict.fromkeys(ids, (1.0, 1.0)), "px"

    def image_path(self, image_id: str) -> Path:
        """Return the path of an image; ValueError if there is none."""
        if image_id not in self._images:
            raise self._missing("image", [image_id])
        return self._images[image_id]

    def mask_path(self, image_id: str) -> Path:
        """Return the path of a mask; ValueError if there is none."""
        if image_id not in self._masks:
            raise self._missing("mask", [image_id])
        return self._masks[image_id]

    def has_mask(self, image_id: str) -> bool:
        """Return whether an image has a mask."""
        return image_id in self._masks

    def check(self, ids: Iterable[str], masks: bool = False) -> None:
        """Refuse ids without an image, or a mask if wanted; otherwise the folder of the masks is not opened."""
        ids = list(ids)
        if missing := [image_id for image_id in ids if image_id not in self._images]:
            raise self._missing("image", missing)
        if masks and (missing := [image_id for image_id in ids if not self.has_mask(image_id)]):
            raise self._missing("mask", missing)
        known = [image_id for image_id in ids if image_id in self._masks] if masks and self.exif == "apply" else []
        if found := [name for name in known if is_turned(self._images[name]) and not is_turned(self._masks[name])]:
            few = f"{len(found)} masks have no EXIF orientation, but their images have: {first_few(found)}"
            log.warning("%s: %s; they must have been drawn on the turned images", self.root / "masks", few)

    def without_caches(self) -> Self:
        """Return a copy without cached lists, which are long for a large folder, to send to another process."""
        light = copy(self)
        for name in ("_images", "_masks", "_patients"):
            vars(light).pop(name, None)
        return light

    def _missing(self, what: str, ids: list[str]) -> ValueError:
        count = f"{len(ids)} {what}s are" if len(ids) > 1 else f"1 {what} is"
        folder = self.root / f"{what}s"
        near = nearest(ids, self._images if what == "image" else self._masks)
        comment = " (comments begin with '# ')" if any(name.startswith("#") for name in ids) else ""
        fix = f"add them or shorten the split lists{comment}"
        return ValueError(f"{count} missing from {folder}: {first_few(ids)}{near}; {fix}")

    @cached_property
    def _images(self) -> dict[str, Path]:
        images = image_files(self.root / "images", self.image_suffixes)
        if self.exif == "ignore":
            warn_orientations(self.root / "images", tuple(images.values()))
        return images

    @cached_property
    def _masks(self) -> dict[str, Path]:
        folder = self.root / "masks"
        return image_files(folder) if folder.is_dir() else {}

    @cached_property
    def _patients(self) -> dict[str, str]:
        path, patients = self.root / "patients.csv", dict[str, str]()
        if not path.exists():
            return patients
        names = Names(self._images, path)
        for row in read_rows(path, ("IMAGE", "patient")):
            name, patient = (row.cells[row.columns[column]].strip() for column in ("IMAGE", "patient"))
            if (image_id := names(name)) and (not patient or patients.setdefault(image_id, patient) != patient):
                raise ValueError(f"{path}: line {row.line}: no patient, or a second one, for {name}; name one patient")
        if missing := [image_id for image_id in self._images if image_id not in patients]:
            raise ValueError(f"{path}: no patient for {len(missing)} images: {first_few(missing)}; add their lines")
        return patients
