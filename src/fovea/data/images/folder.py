"""A folder of images and masks, and the splits that lie beside them."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from fovea.data.images.files import SUFFIXES, image_files, image_size, read_image, read_mask
from fovea.data.splits import carve, carve_fold, check_disjoint, read_list
from fovea.runtime.errors import first_few

PROTOCOLS = ("clean", "published")
"""`clean` chooses checkpoints on a validation split; `published` trains on the whole list and keeps the last one."""


class Folder:
    """Images in `<root>/images`, masks of the same stems in `<root>/masks`, lists of stems in `<root>/*.txt`.

    The masks are optional, and the folder that holds them is not looked into before a mask is asked for: training
    under weak labels works where there is none. `train.txt`, `val.txt` and `test.txt` are optional too: without any
    of them the images are split by seed; otherwise the training images are those of `train.txt` (where it is
    missing, all that the others do not name), and a missing `test.txt` means no test images.

    Args:
        root: the folder.
        channels: channels of an image, 3 (RGB) or 1 (grey).
        classes: 1 for binary masks, otherwise the number of labels with the background.
        protocol: `clean` takes `val.txt`, or carves the validation split out of the training images; `published`
            leaves the training list whole and validates on nothing.
        val_fraction: share of the training images carved out, in [0, 1).
        test_fraction: share of all images that becomes the test split where there are no lists, in [0, 1).
        split_seed: seed of these draws.
        fold: (k, n) makes the validation split the k-th, from 0 on, of n parts of the training and validation images,
            parted by patient; only with the protocol `clean`.

    Raises:
        ValueError: no such folder, or an argument that makes no sense.
    """

    image_suffixes = SUFFIXES  # of the files in `images/`; whoever changes them reads them too: `decode` and `size`

    def __init__(
        self,
        root: str | Path,
        channels: int = 3,
        classes: int = 1,
        protocol: str = "clean",
        val_fraction: float = 0.1,
        test_fraction: float = 0.2,
        split_seed: int = 0,
        fold: Sequence[int] | None = None,
        ignore_label: int | None = None,
    ) -> None:
        self.root = Path(root).expanduser()
        self.channels = channels
        self.classes = classes
        self.protocol = protocol
        self.val_fraction = val_fraction
        self.test_fraction = test_fraction
        self.split_seed = split_seed
        self.fold = fold
        self.ignore_label = ignore_label
        if not self.root.is_dir():
            raise ValueError(f"data.root: no such folder {self.root}; name the folder that holds images/")
        if channels not in (1, 3):
            raise ValueError(f"data.channels: {channels} is not possible for image files; use 3 (RGB) or 1 (grey)")
        if not 1 <= classes <= 256:
            raise ValueError(f"data.classes: {classes} is not between 1 (binary masks) and 256")
        if protocol not in PROTOCOLS:
            raise ValueError(f"data.protocol: {protocol!r} is not known; use {' or '.join(PROTOCOLS)}")
        if fold is not None:
            _check_fold(fold, protocol)

    @property
    def ids(self) -> list[str]:
        """Stems of all images on disk, sorted; see `splits` for those that are meant to be there."""
        return list(self._images)

    def splits(self) -> dict[str, list[str]]:
        """The ids of `train`, `val` and `test`, whether or not their images are on disk (`check` looks).

        Raises:
            ValueError: a list cannot be read, or a patient is in two of them.
        """
        train, val, test = self._lists()
        if train is None and val is None and test is None:
            train, test = carve(self.ids, self.test_fraction, self.split_seed, self.patient)
        elif train is None:
            named = {*(val or ()), *(test or ())}
            train = [name for name in self.ids if name not in named]
        if self.protocol == "published":
            val = []
        elif self.fold is not None:
            number, folds = self.fold
            train, val = carve_fold([*train, *(val or ())], number, folds, self.split_seed, self.patient)
        elif val is None:
            train, val = carve(train, self.val_fraction, self.split_seed, self.patient)
        splits = {"train": train, "val": val, "test": test or []}
        check_disjoint(splits, self.patient)
        return splits

    def patient(self, name: str) -> str:
        """The patient that an id belongs to, whom no two splits share; here each image counts as one."""
        return name

    def image(self, name: str) -> np.ndarray:
        """The image of an id, uint8 [H, W, channels].

        Raises:
            ValueError: there is none, or it cannot be decoded.
        """
        return self.decode(self.image_path(name), self.channels)

    @staticmethod
    def decode(path: Path, channels: int) -> np.ndarray:
        """An image file of this kind, in `images/` or elsewhere, uint8 [H, W, channels]; errors as for `image`."""
        return read_image(path, channels)

    def mask(self, name: str) -> np.ndarray:
        """The mask of an id, uint8 [H, W]: 0 and 1, or labels below `classes`.

        Raises:
            ValueError: there is none, it cannot be decoded, or its size is not that of the image.
        """
        path = self.mask_path(name)
        if path is None:
            raise self._missing("mask", [name])
        mask = read_mask(path, self.classes)
        if mask.shape != self.size(name):
            (height, width), (rows, columns) = self.size(name), mask.shape
            raise ValueError(
                f"{path} is {columns} x {rows} pixels, but {self.image_path(name)} is {width} x {height}; "
                "replace the one that is wrong"
            )
        return mask

    def size(self, name: str) -> tuple[int, int]:
        """Native height and width of an id's image in pixels, from the file's header."""
        return image_size(self.image_path(name))

    def spacing(self, name: str) -> tuple[float, float] | None:
        """Height and width of a pixel of an id's image in mm; None, as here, where nothing tells."""
        return None

    def image_path(self, name: str) -> Path:
        """Where the image of an id lies.

        Raises:
            ValueError: there is none.
        """
        if name not in self._images:
            raise self._missing("image", [name])
        return self._images[name]

    def mask_path(self, name: str) -> Path | None:
        """Where the mask of an id lies; None without one."""
        return self._masks.get(name)

    def has_mask(self, name: str) -> bool:
        """Whether an id has a mask."""
        return name in self._masks

    def check(self, ids: Iterable[str], masks: bool) -> None:
        """Make sure that everything a command is going to read is there. The masks' folder is left alone unless asked.

        Args:
            ids: ids of the splits that will be read.
            masks: whether their masks will be read too.

        Raises:
            ValueError: images or masks are missing; the first few are named.
        """
        ids = list(ids)
        if absent := [name for name in ids if name not in self._images]:
            raise self._missing("image", absent)
        if masks and (bare := [name for name in ids if not self.has_mask(name)]):
            raise self._missing("mask", bare)

    def _lists(self) -> tuple[list[str] | None, list[str] | None, list[str] | None]:
        """Ids of train, val and test as somebody listed them; None where nobody did."""
        train, val, test = (self.root / f"{split}.txt" for split in ("train", "val", "test"))
        return _listed(train), _listed(val), _listed(test)

    def _missing(self, kind: str, names: list[str]) -> ValueError:
        count = f"{len(names)} {kind}s are" if len(names) > 1 else f"1 {kind} is"
        mend = "add them or shorten the split lists"
        return ValueError(f"{count} missing from {self.root / f'{kind}s'}: {first_few(names)}; {mend}")

    @cached_property
    def _images(self) -> dict[str, Path]:
        return image_files(self.root / "images", self.image_suffixes)

    @cached_property
    def _masks(self) -> dict[str, Path]:
        folder = self.root / "masks"
        return image_files(folder) if folder.is_dir() else {}


def _check_fold(fold: Sequence[int], protocol: str) -> None:
    numbers = isinstance(fold, Sequence) and [type(each) for each in fold] == [int, int]
    if not numbers or fold[1] < 2 or not 0 <= fold[0] < fold[1]:
        raise ValueError(f"data.fold={fold} is not possible; give [k, n] with k from 0 to n - 1, as in data.fold=[0,5]")
    if protocol != "clean":
        raise ValueError(f"data.fold: data.protocol={protocol} validates on nothing; set data.protocol=clean for folds")


def _listed(path: Path) -> list[str] | None:
    return read_list(path) if path.exists() else None
