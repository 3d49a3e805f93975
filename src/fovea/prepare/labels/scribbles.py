"""Scribbles: a folder with one PNG an image, in which most pixels are not labeled."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from fovea.data.images.files import image_files
from fovea.data.images.masks import read_mask
from fovea.data.names import Names
from fovea.data.table import Annotations, no_match
from fovea.prepare.labels.rows import Rows
from fovea.runtime.files import sha256


@dataclass(frozen=True)
class Scribble:
    """The scribbles on one image: the file and its hash."""

    path: Path
    digest: str

    def __len__(self) -> int:
        return 1

    def statistics(self) -> dict[str, float]:
        """Return nothing: the file is opened when it is drawn."""
        return {}

    def tobytes(self) -> bytes:
        """Return the hash of the file."""
        return self.digest.encode()


@dataclass(frozen=True)
class Scribbles:
    """Scribbles as a label; `configs/labels/scribbles.yaml` describes the arguments."""

    path: str
    ignore_label: Annotated[int, Field(strict=True, ge=2, le=255)]

    def read(self, ids: Iterable[str]) -> Annotations:
        """List the files; ValueError if there is no such folder, or no file belongs to an image."""
        folder = Path(self.path).expanduser()
        if not folder.is_dir():
            raise ValueError(f"cannot read {folder}: no such folder; set labels.path to the folder of scribbles")
        files, names = image_files(folder, (".png",)), Names(ids, folder)
        found: dict[str, Path] = {}
        for stem, path in files.items():
            if (image_id := names(stem)) and found.setdefault(image_id, path) != path:
                raise ValueError(f"{found[image_id]} and {path.name} are both the scribbles of {image_id}; remove one")
        if not found:
            raise no_match(folder, len(files), names, "PNG")
        images = {image_id: Scribble(path, sha256(path)) for image_id, path in sorted(found.items())}
        return Annotations(images, Rows(), "scribbles", len(found), {"unknown_image": len(files) - len(found)})

    def draw(self, annotation: Scribble, size: tuple[int, int]) -> np.ndarray:
        """Return 1 on the foreground, 0 on the background and 0.5 where nobody labeled.

        A ValueError if the file has another size or other values, or lacks foreground or background.
        """
        path, labels = annotation.path, read_mask(annotation.path, ignore_label=self.ignore_label, key="labels")
        if labels.shape != size:
            (height, width), (rows, columns) = size, labels.shape
            raise ValueError(f"{path} is {columns} x {rows} pixels, but the image is {width} x {height}; replace it")
        for value, name in enumerate(("background", "foreground")):
            if not (labels == value).any():
                key = f"labels.ignore_label={self.ignore_label}"
                raise ValueError(f"{path}: no {name} (value {value}); draw some, or correct {key}")
        return np.where(labels < 0, 0.5, labels).astype(np.float32)
