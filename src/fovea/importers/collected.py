"""Read what a page of `fovea-collect` saves: the samples of `mode=reveal`, and the strokes of `mode=scribble`."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from fovea.data.names import Names
from fovea.importers.recordings.columns import ColumnReader
from fovea.importers.request import ImportRequest, ImportResult
from fovea.pictures.png import write_image
from fovea.runtime.bounds import Count, Positive, check_values
from fovea.runtime.errors import first_few
from fovea.runtime.files import whole_folder

_PIXEL = Annotated[float, Field(ge=-1e6, le=1e6)]  # neither NaN nor infinite
_POINTS = Annotated[list[tuple[_PIXEL, _PIXEL]], Field(min_length=1)]
_STROKE = {"class": Annotated[int, Field(ge=0, le=1)], "width": Positive, "points": _POINTS}


@dataclass(frozen=True)
class Collected(ColumnReader):
    """A CSV of samples becomes fixations, see `ColumnReader`; JSON becomes a folder of scribbles."""

    ignore_label: Annotated[int, Field(strict=True, ge=2, le=255)]

    def __call__(self, request: ImportRequest) -> ImportResult:
        """Import one file, or a folder of CSVs."""
        return self.scribbles(request) if request.source.suffix.lower() == ".json" else super().__call__(request)

    def scribbles(self, request: ImportRequest) -> ImportResult:
        """Write `out/<id>.png` for each image with strokes, later ones on top; refuse damage or a full `out`."""
        out = request.out
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise ValueError(f"out: {out} exists; set a new folder for the scribbles")
        dataset = request.dataset() if request.dataset is not None else None
        names, drawn, unknown = Names(dataset.ids if dataset else None, request.source), dict[str, np.ndarray](), []
        for name, each in _images(request.source).items():
            image_id = names(name)
            if image_id is None:
                unknown.append(name)
            elif image_id in drawn:
                raise ValueError(f"{request.source}: two images have the id {image_id}; import them one by one")
            elif each["strokes"]:
                drawn[image_id] = self._draw(each, dataset.size(image_id) if dataset else None, request.source)
        if not drawn:
            raise ValueError(f"{request.source}: no scribble on an image of data.root ({first_few(unknown)})")
        with whole_folder(out) as folder:
            for image_id, pixels in drawn.items():
                write_image(folder / f"{image_id}.png", pixels)
        lost = [f"{len(unknown)} images are not in data.root and left out: {first_few(unknown)}"] if unknown else []
        return ImportResult([f"scribbles on {len(drawn)} images in {out}"], lost)

    def _draw(self, image: Mapping[str, Any], size: tuple[int, int] | None, source: Path) -> np.ndarray:
        """Return 0 and 1 where the center of a pixel is on a stroke, and `ignore_label` elsewhere, uint8 [H, W]."""
        shown = image["height"], image["width"]
        if size not in (None, shown):
            sizes = f"{shown[1]} x {shown[0]} on the page, but {size[1]} x {size[0]} in data.root"
            raise ValueError(f"{source}: {image['image']} is {sizes}; use the images of the page")
        pixels = np.full(shown, self.ignore_label, np.uint8)
        for stroke in image["strokes"]:
            points = np.array(stroke["points"], np.float64)
            radius = max(stroke["width"] / 2, 0.75)  # covers a pixel anywhere
            short = [np.linspace(a, b, 2 + int(abs(b - a).max()) // 64) for a, b in pairwise(points)]  # small boxes
            points = np.concatenate([*short, points[-1:], points[-1:]])  # a dot is a line too
            for ends in np.stack([points[:-1], points[1:]], axis=1):
                bounds = np.floor(ends.min(axis=0) - radius), np.ceil(ends.max(axis=0) + radius)
                (left, top), (right, bottom) = np.clip(bounds, 0, shown[::-1]).astype(int)
                first, last = ends @ [1, 1j]
                from_first = np.arange(left, right) + 0.5 + 1j * (np.arange(top, bottom) + 0.5)[:, None] - first
                step = last - first
                along = np.clip((from_first * step.conjugate()).real / (abs(step) ** 2 or 1), 0, 1)
                pixels[top:bottom, left:right][abs(from_first - along * step) <= radius] = stroke["class"]
        return pixels


def _images(path: Path) -> dict[str, dict[str, Any]]:
    """Return the images of the JSON by name; refuse other content and an image that is listed twice."""
    found: dict[str, dict[str, Any]] = {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not content["format"].startswith("fovea-collect scribbles 1"):
            raise ValueError(f"format {content['format']}")
        for image in content["images"]:
            name = str(image["image"])
            if name in found:
                raise ValueError(f"it has {name} twice")
            check_values({"height": Count, "width": Count}, image, name)
            for stroke in image["strokes"]:
                check_values(_STROKE, {key: stroke[key] for key in _STROKE}, f"{name}: stroke")
            found[name] = image
    except OSError as error:
        raise ValueError(f"cannot read {path}: {(error.strerror or str(error)).lower()}; set source") from error
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:120]
        raise ValueError(f"{path}: not the scribbles of one page of fovea-collect ({reason}); save it again") from error
    return found
