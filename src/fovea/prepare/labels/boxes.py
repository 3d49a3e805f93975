"""Boxes around the structure: a CSV, COCO JSON, or the JSON of Kvasir-SEG."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fovea.data.table import BOX_COLUMNS, Annotations
from fovea.prepare.labels.rows import Row, Rows, Unit, by_image, from_csv
from fovea.runtime.bounds import Fraction
from fovea.runtime.errors import first_few

_CATEGORY = ("class", "label", "category", "category_id", "class_id", "class_name")  # of a CSV: one, in any case


@dataclass(frozen=True)
class Boxes:
    """Boxes as a label; `configs/labels/boxes.yaml` describes the map and the arguments."""

    path: str
    unit: Unit
    ellipse: Fraction
    corner: Fraction

    def read(self, ids: Iterable[str]) -> Annotations:
        """Read all boxes; ValueError if the file is damaged or none belongs to an image."""
        path = Path(self.path).expanduser()
        rows = _from_json(path) if path.suffix.lower() == ".json" else [*from_csv(path, BOX_COLUMNS, _CATEGORY)]
        if len(categories := sorted({row.category for row in rows})) > 1:
            few = first_few(map(repr, categories))
            raise ValueError(f"{path}: boxes of {len(categories)} categories ({few}); keep those of one")
        return by_image(path, rows, ids, "boxes")

    def draw(self, annotation: Rows, size: tuple[int, int]) -> np.ndarray:
        """Return 1 - (1 - `ellipse`) r^4 in the ellipses, `corner` in the rest of the boxes and 0 outside.

        r is 0 in the center of an ellipse and 1 at its edge. Several boxes give the maximum. A ValueError if a box is
        outside the image or has no area, or the file has another size of the image.
        """
        for (x0, y0, x1, y1), place in zip(annotation.values, annotation.places, strict=True):
            if not (x0 < x1 and y0 < y1):
                numbers = f"from x {x0:g} to {x1:g} and y {y0:g} to {y1:g}"
                raise ValueError(f"{self.path}: {place}: a box cannot go {numbers}; correct it")
        drawn = np.zeros(size, np.float32)
        y, x = (np.arange(side) + 0.5 for side in size)
        for x0, y0, x1, y1 in annotation.pixels(4, size, self.unit, self.path):
            across = (np.abs(x - (x0 + x1) / 2) / max((x1 - x0) / 2, 0.5))[None, :]  # a pixel at least
            down = (np.abs(y - (y0 + y1) / 2) / max((y1 - y0) / 2, 0.5))[:, None]
            squared = across**2 + down**2
            box = np.where(squared <= 1, 1 - (1 - self.ellipse) * squared**2, self.corner)
            np.maximum(drawn, np.where((across <= 1) & (down <= 1), box, 0), out=drawn, casting="same_kind")
        return drawn


def _from_json(path: Path) -> list[Row]:
    """Return the boxes of COCO, or of Kvasir-SEG: `{id: {height, width, bbox: [{label, xmin, ymin, xmax, ymax}]}}`."""
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ValueError(f"cannot read {path}: {reason}; set labels.path to the file of boxes") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not JSON ({error}); export it again") from error
    try:
        return _coco(content) if "annotations" in content else _kvasir(content)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    except (AttributeError, KeyError, TypeError) as error:
        needed = "images (id, file_name, width, height) and annotations (image_id, bbox [x, y, width, height])"
        raise ValueError(f"{path}: not boxes in COCO's format, which has {needed}; export it again") from error


def _coco(content: Any) -> list[Row]:
    """Return the row of each annotation."""
    images, rows = dict[Any, Any](), []
    for image in content["images"]:
        if (other := images.setdefault(image["id"], image)["file_name"]) != image["file_name"]:
            both = f"{other} and {image['file_name']} have the id {image['id']}"
            raise ValueError(f"{both}; give the images and annotations of joined files new ids")
    for number, each in enumerate(content["annotations"]):
        place = f"annotation {each.get('id', number)}"
        if each["image_id"] not in images:
            raise ValueError(f"{place}: no image has the id {each['image_id']}; export the file again")
        if angle := (each.get("attributes") or {}).get("rotation"):  # of CVAT, whose bbox is that before the rotation
            raise ValueError(f"{place}: rotated by {angle} degrees; draw an upright box")
        image = images[each["image_id"]]
        row = _row(image["file_name"], image, each.get("bbox"), place, each.get("category_id"))
        row.values[2:] = np.add(row.values[:2], row.values[2:]).tolist()
        rows.append(row)
    return rows


def _kvasir(content: Any) -> list[Row]:
    """Return the row of each box."""
    rows = []
    for name, image in content.items():
        for number, box in enumerate(image["bbox"], start=1):
            edges = [box[key] for key in ("xmin", "ymin", "xmax", "ymax")]
            rows.append(_row(name, image, edges, f"box {number} of {name}", box["label"]))
    return rows


def _row(name: Any, image: Any, box: Any, place: str, category: Any) -> Row:
    """Return a row of four numbers, with the size that is stated for its image."""
    try:
        x0, y0, x1, y1 = map(float, box)
        return Row(str(name), [x0, y0, x1, y1], place, (int(image["height"]), int(image["width"])), str(category))
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{place}: no four numbers, or no size of its image; export it again") from error
