"""Labels that a network predicted for images or volumes that nobody labeled, to train another one on them."""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np

from fovea.data.predict_request import NETWORKS, TABLE, probability_file
from fovea.data.splits import of_patients
from fovea.data.table import read_rows
from fovea.losses import IGNORE
from fovea.runtime.bounds import Progress
from fovea.runtime.config import instantiate
from fovea.runtime.errors import first_few
from fovea.runtime.files import read_mapping, sha256

log = logging.getLogger(__name__)


def predicted_labels(config: Mapping[str, Any] | None, needs: Collection[str]) -> "Predicted | None":
    """Return the labels of `data.predicted`, if it has a path; a ValueError if a mode does not train on masks."""
    if not config or config["path"] is None:
        return None
    if "mask" not in needs:
        raise ValueError("data.predicted needs a supervision that trains on masks; choose another, or leave it out")
    predicted: Predicted = instantiate(config, "data.predicted")
    return predicted


@dataclass(frozen=True)
class Predicted:
    """The confident labels in a folder that `fovea-predict … probabilities=true` wrote.

    A network that is trained on them and on the given labels is a student of the one that predicted: Xie et al.,
    "Self-training with Noisy Student", CVPR 2020; Yang et al., "ST++", CVPR 2022 (for segmentation).

    Images are found in the folder `path` by the names of their files. A label counts where its probability is at least
    `confidence`; 0: everywhere. A ValueError if `path` is not a folder of `fovea-predict`.
    """

    path: str
    confidence: Progress
    allow_training_images: bool = False

    def __post_init__(self) -> None:
        if not (self.folder / TABLE).is_file():
            raise ValueError(f"path: {self.folder} has no {TABLE}; give the folder that fovea-predict wrote")

    @property
    def folder(self) -> Path:
        return Path(self.path).expanduser()

    def check(
        self, names: Sequence[str], splits: Mapping[str, Collection[str]], patient: Callable[[str], str]
    ) -> list[str]:
        """Return the ids of the images that the networks which predicted were trained on, as far as they are known.

        `names` are those of the classes without the background, none of one structure; `splits` has the ids of `train`,
        which this run trains on, of `val` and of `test`. A ValueError if the predictions have other classes or, unless
        it is allowed, a network was trained on a patient of `val` or `test`.
        """
        own, unnamed = [*names] or ["foreground"], [f"class_{number}" for number in range(1, len(names) + 1)]
        for rows in (rows for named in self._by_name.values() for rows in named):
            if (found := [row["structure"] for row in rows]) not in (own, unnamed):
                differ = f"predictions of {first_few(found)}, but the classes of this run are {first_few(own)}"
                fix = "predict with a network of these classes, named alike"
                raise ValueError(f"{self.folder / TABLE}: {differ}; {fix}")
        networks: dict[str, list[str] | None] = read_mapping(self.folder / NETWORKS)
        if not all(networks.values()) or not networks:
            unknown = "it is not checked that no image of val or test is among them"
            log.warning("data.predicted: %s does not say which images trained its network: %s", self.folder, unknown)
        ids = [*dict.fromkeys(image for known in networks.values() for image in known or ())]
        for split in ("val", "test") if not self.allow_training_images else ():
            if shared := of_patients(splits[split], ids, patient):
                few = f"on patients of {len(shared)} of {len(splits[split])} {split} images ({first_few(shared, 2)})"
                fix = "predict with a network of the same splits, or set data.predicted.allow_training_images=true"
                raise ValueError(f"data.predicted: {self.folder} was predicted by a network trained {few}; {fix}")
        if others := sorted({*ids} - {*splits["train"]}):
            few = first_few(others)
            log.warning("data.predicted: its network was trained on %d other images: %s", len(others), few)
        return ids

    def files(self, image: Path) -> list[Path]:
        """Return the maps of the probabilities of an image or volume, one for each class but the background."""
        named = self._by_name.get(image.name, [])
        same = [rows for rows in named if Path(rows[0]["input"]).expanduser().resolve() == image.resolve()]
        if len(found := same or named) != 1:
            several = f"{len(found)} predictions" if found else "no prediction"
            fix = "run fovea-predict on its folder, with series=false for DICOM slices"
            raise ValueError(f"{self.folder / TABLE}: {several} of {image}; {fix}")
        [rows] = found
        if not same and _is_another(Path(rows[0]["input"]).expanduser(), image):
            other = f"the prediction of {image.name} is of {rows[0]['input']}, another file than {image}"
            raise ValueError(f"{self.folder / TABLE}: {other}; run fovea-predict on its folder")
        name, classes = rows[0]["mask"].removeprefix("masks/"), [row["structure"] for row in rows]
        files = [self.folder / probability_file(name, classes, label) for label in range(1, len(rows) + 1)]
        if missing := [file for file in files if not file.is_file()]:
            raise ValueError(f"{missing[0]}: no such file; run fovea-predict again, with probabilities=true")
        return files

    def labels(self, image: Path, read: Callable[[Path], np.ndarray]) -> np.ndarray:
        """Return the labels of an image, int16, -1 where no class is confident; `read` reads a map in [0, 1]."""
        maps = np.stack([read(file) for file in self.files(image)])
        every = np.concatenate([1 - maps.sum(axis=0, keepdims=True), maps])
        return np.where(every.max(axis=0) >= self.confidence, every.argmax(axis=0), IGNORE).astype(np.int16)

    @cached_property
    def _by_name(self) -> dict[str, list[list[Mapping[str, str]]]]:
        """The rows of each prediction, one for each class, by the name of its input."""
        table, columns = self.folder / TABLE, ("mask", "structure", "input")
        masks: dict[str, list[Mapping[str, str]]] = {}
        for row in read_rows(table, columns):
            cells = {column: row.cells[row.columns[column]] for column in columns}
            if not cells["mask"].startswith("masks/") or ".." in Path(cells["mask"]).parts:
                raise ValueError(f"{table}: line {row.line}: {cells['mask']} is not below masks/; predict again")
            masks.setdefault(cells["mask"], []).append(cells)
        named: dict[str, list[list[Mapping[str, str]]]] = {}
        for rows in masks.values():
            named.setdefault(Path(rows[0]["input"]).name, []).append(rows)
        return named


@cache
def _is_another(source: Path, image: Path) -> bool:
    """Return whether a file that was predicted is still there, and has other bytes than an image of its name."""
    return source.is_file() and sha256(source) != sha256(image)
