"""Write the page: one HTML file with its own script, which needs neither a server nor the network."""

import base64
import hashlib
import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from tqdm import tqdm

from fovea.data.images.files import is_turned, opened
from fovea.data.images.folder import Folder
from fovea.data.images.synthetic import draw
from fovea.data.table import BOX_COLUMNS, POINT_COLUMNS
from fovea.pictures.png import as_png
from fovea.runtime.bounds import Count, Positive, Seed
from fovea.runtime.files import make_folder, write_bytes, write_text
from fovea.runtime.templates import render

TEMPLATE = Path(__file__).with_name("collect.html.jinja")
PAGE = "collect.html"
TASKS = {
    "reveal": "Move the sharp window over the image, and look for the {0}. Rest on it as long as you look at it.",
    "click": "Click the {0}, once or several times. To mark background, use the right button or choose it below.",
    "box": "Drag a box around each {0}.",
    "scribble": "Draw a line in the {0}. Then draw one on the background: use the right button or choose it below.",
    "screen": "Look at each image for the {0}. Space shows the next image, P pauses.",
}
"""What the page asks for, by mode; {0} is the structure."""
FILES = {"reveal": "reveal", "click": "points", "box": "boxes", "scribble": "scribbles", "screen": "screen"}
_OWN = re.compile(r"images|[0-9a-f]{16}\.(png|jpeg)")  # names that an interrupted call may leave without a page
_BESIDE = re.compile(r'"(images/[0-9a-f]{16}\.(?:png|jpeg))"')
_PLACE = ("left", "top", "width", "height")
_TIMES = ("screen_width", "screen_height", "onset", "end", "onset_performance", "end_performance")
COLUMNS = {
    "reveal": ("image", "observer", "t", "x", "y", *_PLACE),
    "click": (*POINT_COLUMNS, "observer", "seconds"),
    "box": (*BOX_COLUMNS, "observer", "seconds"),
    "scribble": (),  # JSON
    "screen": ("image", "observer", *_PLACE, *_TIMES),
}
_GAZE = "fovea-prepare {data} labels.path=fixations.csv"
_IMPORT = "fovea-import format=collect source={file} {data} "
NEXT = {
    "reveal": [_IMPORT + "detection.unit=px detection.dispersion={radius} out=fixations.csv", _GAZE],
    "click": ["fovea-prepare {data} labels=points labels.path={file}"],
    "box": ["fovea-prepare {data} labels=boxes labels.path={file}"],
    "scribble": [_IMPORT + "out=scribbles", "fovea-prepare {data} labels=scribbles labels.path=scribbles"],
    "screen": ["fovea-import format=… source=RECORDING format.shown={file} {data} out=fixations.csv", _GAZE],
}


class Shown(NamedTuple):
    """An image for a browser: the suffix of its format, the bytes, and height and width."""

    suffix: str
    data: bytes
    size: tuple[int, int]

    def entry(self, name: str, source: str = "") -> dict[str, object]:
        """Return what the page needs of an image: a data URL if it has no other source."""
        source = source or f"data:image/{self.suffix[1:]};base64,{base64.b64encode(self.data).decode()}"
        return {"name": name, "src": source, "height": self.size[0], "width": self.size[1]}


def write_page(
    dataset: Folder,
    out: Path,
    words: Sequence[str],
    mode: Literal["reveal", "click", "box", "scribble", "screen"],
    structure: str,
    size: Count,
    radius: Positive,
    blur: Positive,
    brush: Positive,
    interval: Positive,
    embed: bool,
    practice: bool,
    split: Literal["train", "val", "test"] | None,
    count: Count | None,
    seed: Seed,
) -> tuple[int, dict[str, str]]:
    """Write `out/collect.html`; return the number of images on it, and why an image is not, by ID.

    The images are in a random order that depends only on their IDs and the seed. `out` is a new folder, or one that
    this function wrote; images beside an earlier page that are no longer on it are removed. `words` of a command line
    choose the data set; the page shows them at its end. `configs/collect.yaml` describes the other arguments.

    A ValueError if `out` has other files or cannot be written, or no image can be shown.
    """
    others = {path.name for path in out.glob("[!.]*")} | {path.name for path in out.glob("images/[!.]*")}
    if not (out / PAGE).is_file() and not all(map(_OWN.fullmatch, others)):
        raise ValueError(f"out: {out} has other files, and fovea-collect did not write it; set another out")
    ids = dataset.splits()[split] if split is not None else dataset.ids
    dataset.check(ids, masks=False)
    ids = [ids[place] for place in np.random.default_rng(seed).permutation(len(ids))][:count]
    images, digests, failures = _images(dataset, ids, None if embed else make_folder(out / "images"))
    study: dict[str, Any] = {
        **{"mode": mode, "structure": structure, "task": TASKS[mode].format(structure), "embedded": embed},
        **{"size": size, "radius": radius, "blur": blur, "brush": brush, "interval": interval},
        "practice": _encoded(draw(np.random.default_rng(seed), 480)[0]).entry("practice") if practice else None,
        "file": FILES[mode],
        "columns": COLUMNS[mode],
        "next": [line.replace("{radius}", f"{radius:g}").replace("{data}", shlex.join(words)) for line in NEXT[mode]],
        "images": images,
    }
    study["key"] = hashlib.sha256(json.dumps([study, digests]).encode()).hexdigest()[:16]
    earlier = _named(out)
    write_text(out / PAGE, render(TEMPLATE, {"title": f"Find the {structure}", "study": study, **study}))
    for file in earlier - _named(out):
        (out / file).unlink(missing_ok=True)
    return len(images), failures


def _named(out: Path) -> set[str]:
    """Return the files beside the page that it names; they are ours."""
    page = out / PAGE
    return {*_BESIDE.findall(page.read_text(encoding="utf-8"))} if page.is_file() else set()


def _images(
    dataset: Folder, ids: Sequence[str], folder: Path | None
) -> tuple[list[dict[str, object]], list[str], dict[str, str]]:
    """Return images for the page, the hashes of their files, and why an image cannot be shown; fill the folder."""
    images, digests, failures = list[dict[str, object]](), list[str](), dict[str, str]()
    for image_id in tqdm(ids, desc="fovea-collect", unit="image", delay=1):
        try:
            shown = shown_image(dataset, image_id)
        except ValueError as error:
            failures[image_id] = str(error)
            continue
        digests.append(hashlib.sha256(shown.data).hexdigest())
        # A name that tells nothing about the image, and that no page uses for another one.
        file = f"{digests[-1][:16]}{shown.suffix}"
        if folder is not None:
            write_bytes(folder / file, shown.data)
        source = f"{folder.name}/{file}" if folder is not None else ""
        images.append(shown.entry(dataset.image_path(image_id).name, source))
    if not images:
        raise ValueError(f"{dataset.root}: no image to show; {next(iter(failures.values()), 'the split is empty')}")
    return images, digests, failures


def shown_image(dataset: Folder, image_id: str) -> Shown:
    """Return an image as `dataset.image` does, and raise alike: the file where a browser shows the same, else a PNG."""
    path, pixels = dataset.image_path(image_id), dataset.checked_image(image_id)
    suffix = {".jpg": ".jpeg"}.get(path.suffix.lower(), path.suffix.lower())
    if suffix in (".png", ".jpeg") and dataset.range is None and not is_turned(path):
        with opened(path) as image:
            plain = not image.has_transparency_data and (pixels.shape[-1] == 3 or image.mode == "L")
            if plain and image.format in {"PNG", "JPEG", "MPO"}:  # whatever its name says
                return Shown(suffix, path.read_bytes(), (pixels.shape[0], pixels.shape[1]))
    return _encoded(pixels)


def _encoded(pixels: np.ndarray) -> Shown:
    data = as_png(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    return Shown(".png", data, (pixels.shape[0], pixels.shape[1]))
