"""Image files: pixels as stored, and errors that name the file."""

import logging
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, Literal
from unicodedata import normalize

import cv2
import numpy as np
from PIL import Image

from fovea.data.decoding import decoding
from fovea.data.names import check_name
from fovea.runtime.bounds import Window
from fovea.runtime.errors import first_few

log = logging.getLogger(__name__)

Exif = Literal["ignore", "apply"]
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})  # suffixes of image files, in lower case
SCALE = "set data.range=[low,high] (of fovea-predict: range), the values that become 0 and 255, or save 8 bits"
_MODES = {1: "L", 3: "RGB"}
_ORIENTATION, _PHOTOMETRIC, _SAMPLE_FORMAT, _BITS = 0x0112, 0x0106, 0x0153, 0x0102  # tags
_UNDO = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # EXIF orientation to the `Image.Transpose` that undoes it
_INVERSE = {6: 8, 8: 6}  # the other turns undo themselves
_EIGHT_BIT = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"})


def read_image(
    path: Path,
    channels: int = 3,
    window: Window | None = None,
    exif: Exif = "ignore",
    page: int | None = None,
    fix: str = SCALE,
) -> np.ndarray:
    """Decode an image to uint8 [H, W, channels], 3 for RGB, 1 for gray.

    Of an image of more than 8 bits, `window` has the values that become 0 and 255; those between are scaled linearly.
    `exif=apply` turns the image by its EXIF orientation. `page` is that of a TIFF, from 0; None: the only one. A
    ValueError if the file is missing or cannot be decoded, or has more than 8 bits per channel and no window, when
    `fix` says what to do.
    """
    with opened(path, page) as image:
        mode, deep_color = image.mode, is_deep_color(image)  # before pending_turn, which may decode
        deep, turn = deep_color or mode not in _EIGHT_BIT, pending_turn(image, exif)
        if deep and window is not None:
            if deep_color and page:
                raise ValueError("several pages of 16 bits per color")
            values = _deep_colors(path) if deep_color else _values(image)
            if not np.isfinite(values).all():
                raise ValueError("some values are not numbers")
            image = Image.fromarray(scaled(values.astype(np.float64), window[0], window[1]))
        readable = not deep or window is not None
        pixels = np.array(turned(image.convert(_MODES[channels]), turn)) if readable else None
    if pixels is None:
        raise ValueError(f"{path}: more than 8 bits per channel ({mode}); {fix}")
    return pixels.reshape(*pixels.shape[:2], channels)


def is_deep_color(image: Image.Image) -> bool:
    """Return whether an opened color image, not yet decoded, has 16 bits per channel; Pillow keeps only the upper 8."""
    return any(";16" in str(tile[3]) for tile in getattr(image, "tile", ())) and not image.mode.startswith("I")


def _values(image: Image.Image) -> np.ndarray:
    """Return the values of a gray image; Pillow reads those of 32 bits without a sign as if they had one."""
    values, tags = np.asarray(image), getattr(image, "tag_v2", {})
    unsigned = values.dtype == np.int32 and tags.get(_BITS) == (32,) and 2 not in tags.get(_SAMPLE_FORMAT, ())
    return values.view(np.uint32) if unsigned else values


def _deep_colors(path: Path) -> np.ndarray:
    """Return the values of an image with 16 bits per color, uint16 [H, W, 3]."""
    decoded: Any = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None or decoded.ndim != 3:
        raise ValueError("16 bits per channel, but not RGB")
    return np.asarray(decoded[..., 2::-1])  # BGR, perhaps with transparency


def scaled(values: np.ndarray, low: float, high: float, truncate: bool = False) -> np.ndarray:
    """Return values as uint8, from 0 at `low` to 255 at `high`, rounded or truncated; all 0 if these are equal."""
    part = (np.clip(values, low, high) - low) / ((high - low) or 1.0) * 255
    return (part if truncate else np.rint(part)).astype(np.uint8)


def pending_turn(image: Image.Image, exif: Exif) -> int:
    """Return the turn that `turned` has to undo after decoding; the image is opened and not yet decoded."""
    applied = image.format == "TIFF"  # Pillow turns a TIFF when it decodes it
    if applied == (exif == "apply"):
        return 1
    turn = int(image.getexif().get(_ORIENTATION, 1))
    return turn if applied else _INVERSE.get(turn, turn)


def turned(image: Image.Image, turn: int) -> Image.Image:
    """Return a decoded image after the inverse of an EXIF orientation."""
    return image.transpose(Image.Transpose(_UNDO[turn])) if turn in _UNDO else image


@cache
def warn_orientations(folder: Path, paths: tuple[Path, ...]) -> None:
    """Log, once per folder, how many images have an EXIF orientation that is not applied."""
    found = [path.name for path in paths if path.suffix.lower() in SUFFIXES and is_turned(path)]
    advice = "unless the training sets data.exif=apply, masks, fixations and predictions are those of the stored pixels"
    if found:
        count = f"{len(found)} of {len(paths)} images have"
        log.warning("%s: %s an EXIF orientation, which is not applied; %s: %s", folder, count, advice, first_few(found))


def is_turned(path: Path) -> bool:
    """Return whether the header of a file has an orientation other than 1, as far as it can be opened."""
    with suppress(ValueError), opened(path) as image:
        if image.format != "PNG" or "exif" in image.info:  # Pillow would decode a PNG to look behind its pixels
            return image.getexif().get(_ORIENTATION) in _UNDO
    return False


def image_size(path: Path, exif: Exif = "ignore") -> tuple[int, int]:
    """Return the height and width of an image in pixels, from the header of the file; raises like `read_image`."""
    with opened(path) as image:
        return (image.width, image.height) if pending_turn(image, exif) > 4 else (image.height, image.width)


def image_files(folder: Path, suffixes: Collection[str] = SUFFIXES) -> dict[str, Path]:
    """Return the image files of a folder by stem in NFC, sorted; hidden files and other suffixes do not count.

    A ValueError if there is no such folder, no image in it, or two images have the same stem.
    """
    files: dict[str, Path] = {}
    try:
        with os.scandir(folder) as entries:
            found = [e for e in entries if Path(e.name).suffix.lower() in suffixes and not e.name.startswith(".")]
            names = sorted(e.name for e in found if e.is_file())
            lost = sorted(e.name for e in found if not (e.is_file() or e.is_dir()))
    except OSError as error:
        raise ValueError(f"{folder}: {str(error.strerror).lower()}; it must be a folder of images") from error
    if lost:
        log.warning("%s: %d links to missing files are left out: %s", folder, len(lost), first_few(lost))
    for path in (Path(folder) / name for name in names):
        check_name(path)
        stem = normalize("NFC", path.stem)  # macOS spells accents in another way than lists and tables
        if stem in files:
            raise ValueError(f"{files[stem]} and {path.name} share the stem {stem}; rename or remove one")
        files[stem] = path
    if not files:
        raise ValueError(f"{folder}: no image in this folder; it must have {', '.join(sorted(suffixes))} files")
    return dict(sorted(files.items()))


def pages_of(path: Path) -> int:
    """Return the number of images in a file, which may be above 1 for TIFF; 1 if it cannot be opened."""
    with suppress(ValueError), opened(path, 0) as image:
        return _pages(image)
    return 1


def _pages(image: Image.Image) -> int:
    return getattr(image, "n_frames", 1) if image.format == "TIFF" else 1


@contextmanager
def opened(path: Path, page: int | None = None) -> Iterator[Image.Image]:
    """Open an image file; every error of Pillow, also of the decoding in the `with` block, becomes one line."""
    # given a path, Pillow maps the file into memory and mixes up the pixels of a turned gray TIFF
    with decoding(path), path.open("rb") as file, Image.open(file) as image:
        if page is not None or _pages(image) == 1:
            if page:
                image.seek(page)
            _refuse_misread(image)
            yield image
            return
    raise ValueError(f"{path}: a TIFF of several pages; save each page as its own image")


def _refuse_misread(image: Image.Image) -> None:
    """Refuse a TIFF whose values Pillow returns in another meaning, before it is decoded."""
    tags: Mapping[int, Any] = getattr(image, "tag_v2", {})
    if tags.get(_PHOTOMETRIC) == 0 and (image.mode.startswith("I") or image.mode == "F"):
        raise ValueError("more than 8 bits, and 0 is white; save it with 0 as black")
    if 2 in tags.get(_SAMPLE_FORMAT, ()) and image.mode == "L":
        raise ValueError("8 bits with a sign; save it without")
