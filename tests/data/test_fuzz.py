"""Damaged tables and lists are read, or end in one line that names the file."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.importers.test_fuzz import MUTATIONS, mutated

from fovea.data.fixations import NEEDED, read_fixations
from fovea.data.splits import read_list
from fovea.prepare.labels.boxes import Boxes
from fovea.prepare.labels.points import Points

IDS = ["a", "#b", "007", "größe 1", "benign_im00"]
TABLE = "\n".join(
    [
        ",".join([*NEEDED, "observer"]),
        *(f"{name}.png,{index},0.{index},0.5,{99 + index},p{index % 2}" for name in IDS for index in range(1, 9)),
    ]
)
BOXES = "IMAGE,x0,y0,x1,y1\n" + "\n".join(f"{name}.png,1,2,3{number},4{number}" for number, name in enumerate(IDS))
CLICKS = "IMAGE,x,y,class\n" + "\n".join(f"{name}.png,1{number},2,{number % 2}" for number, name in enumerate(IDS))
COCO = json.dumps(
    {
        "images": [{"id": 1, "file_name": "a.png", "width": 60, "height": 50}],
        "annotations": [{"id": number, "image_id": 1, "bbox": [1, 2, 30, 40 + number]} for number in range(5)],
    }
)


def drawn(label: Any) -> None:
    """Read labels and draw the map of an image."""
    annotation = label.read(IDS).of("a")
    if len(annotation):
        label.draw(annotation, (50, 60))


READERS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "boxes.csv": (BOXES, lambda path: drawn(Boxes(str(path), "pixels", 0.6, 0.4))),
    "clicks.csv": (CLICKS, lambda path: drawn(Points(str(path), "pixels", 100.0, 768))),
    "coco.json": (COCO, lambda path: drawn(Boxes(str(path), "pixels", 0.6, 0.4))),
    "table": (TABLE, lambda path: read_fixations(path, IDS).summary()),
    "list": ("# mine\n" + "\n".join(f"{name}.png" for name in IDS), lambda path: read_list(path, IDS)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_damaged_files_never_raise_anything_else(name: str, tmp_path: Path) -> None:
    content, read = READERS[name]
    path, rng, refused = tmp_path / f"file_{name}", random.Random(0), 0
    for _ in range(MUTATIONS):
        path.write_bytes(mutated(content.encode(), rng))
        try:
            read(path)
        except ValueError as error:
            assert type(error) is ValueError and path.name in str(error) and "\n" not in str(error)
            refused += 1
    assert refused > 0
