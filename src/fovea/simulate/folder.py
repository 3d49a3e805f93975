"""Labels of a whole data set, made from its masks."""

from binascii import crc32
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from tqdm import tqdm

from fovea.data.images.folder import Folder
from fovea.pictures.png import write_image
from fovea.runtime.files import announce, describes, sha256, whole_folder, write_csv, write_json


class Observer(Protocol):
    """A dataclass that labels images as a person would; each is one file here and one YAML in `configs/observer/`."""

    @property
    def columns(self) -> Sequence[str]:
        """The columns of the CSV; empty if pictures are drawn instead."""

    def label(self, file: str, mask: np.ndarray, rng: np.random.Generator) -> Any:
        """Return the rows of an image file from its mask [H, W], or a picture uint8 [H, W]; empty for no label."""


def simulate_folder(dataset: Folder, out: Path, observer: Observer, seed: int = 0) -> tuple[int, int]:
    """Write the labels of all images that have a mask; return the number of rows or pictures, and of the images.

    They are one CSV, or a folder of PNG named after the images. The labels of an image depend only on its ID, its mask
    and the seed. `<out>.simulate.json` beside them has the observer, the seed and their hash. A ValueError if no image
    has a mask, a mask cannot be read, or `out` cannot be written or is not of a simulation.
    """
    about = out.with_name(f"{out.name}.simulate.json")
    if out.exists() and not describes(about, out):
        raise ValueError(f"out: {out} exists, and fovea-simulate did not write it; set another out")
    ids = [image_id for image_id in dataset.ids if dataset.has_mask(image_id)]
    if not ids:
        raise ValueError(f"{dataset.root}: no image has a mask to simulate labels from; add masks")
    dataset.warn_of_classes()
    labels = _labels(dataset, ids, observer, seed)
    count = 0
    if observer.columns:
        rows = [row for _, some in labels for row in some]
        write_csv(out, observer.columns, rows, about)
        count = len(rows)
    else:
        with whole_folder(out) as folder:
            for image_id, picture in labels:
                if len(picture):
                    write_image(folder / f"{image_id}.png", picture)
                    count += 1
            announce(about, sha256(folder))
    values: Any = observer
    write_json(about, {"observer": asdict(values), "seed": seed, "sha256": sha256(out)})
    return count, len(ids)


def _labels(dataset: Folder, ids: Sequence[str], observer: Observer, seed: int) -> Iterator[tuple[str, Any]]:
    for image_id in tqdm(ids, desc="fovea-simulate", unit="image"):
        rng = np.random.default_rng([seed, crc32(image_id.encode())])
        yield image_id, observer.label(dataset.image_path(image_id).name, dataset.checked_mask(image_id), rng)
