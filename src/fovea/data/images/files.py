"""Image files: pixels as stored, and errors that name the file."""

import io
import logging
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from unicodedata import normalize

import numpy as np
from PIL import Image, UnidentifiedImageError

from fovea.runtime.errors import first_few
from fovea.runtime.files import write_bytes

log = logging.getLogger(__name__)

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})
"""Suffixes of image files, in lower case."""

_MODES = {1: "L", 3: "RGB"}
_ORIENTATION = 0x0112
_UNDO: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels, 1),
    7: lambda pixels: np.rot90(pixels, 2).swapaxes(0, 1),
    8: lambda pixels: np.rot90(pixels, -1),
}
_EIGHT_BIT = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"})


def read_image(path: Path, channels: int = 3) -> np.ndarray:
    """Decode an image.

    An EXIF orientation is not applied: masks and fixations have the coordinates of the stored pixels.

    Args:
        path: The file.
        channels: 3 for RGB, 1 for gray.

    Returns:
        uint8 [H, W, channels].

    Raises:
        ValueError: the file is missing, cannot be decoded, or has more than 8 bits per channel.
    """
    if channels not in _MODES:
        raise ValueError(f"channels must be 1 (gray) or 3 (RGB), got {channels}")
    with opened(path) as image:
        mode, deep, turn = image.mode, image.mode not in _EIGHT_BIT or is_deep_color(image), tiff_turn(image)
        pixels = np.empty((0, 0)) if deep else np.array(image.convert(_MODES[channels]))
    if deep:
        raise ValueError(
            f"{path}: more than 8 bits per channel ({mode}); choose the range of values that becomes 0 to 255, and "
            "save the image with 8 bits"
        )
    pixels = turned_back(pixels, turn)
    return pixels.reshape(*pixels.shape[:2], channels)


def is_deep_color(image: Image.Image) -> bool:
    """Return whether an opened color image, not yet decoded, has 16 bits per channel; Pillow would keep the upper 8."""
    return any(";16" in str(tile[3]) for tile in getattr(image, "tile", ())) and not image.mode.startswith("I")


def tiff_turn(image: Image.Image) -> int:
    """Return the orientation that Pillow applies while it decodes this opened image: only that of a TIFF, else 1."""
    turn = image.getexif().get(_ORIENTATION) if image.format == "TIFF" else None
    return turn if turn in _UNDO else 1


def turned_back(pixels: np.ndarray, turn: int) -> np.ndarray:
    """Return pixels [H, W, ...] as they are stored, from pixels that Pillow turned."""
    return np.ascontiguousarray(_UNDO[turn](pixels)) if turn in _UNDO else pixels


@cache
def warn_orientations(folder: Path, paths: tuple[Path, ...]) -> None:
    """Log, once per folder, how many images have an EXIF orientation, since it is not applied."""
    turned = [path.name for path in paths if path.suffix.lower() in SUFFIXES and _is_turned(path)]
    if turned:
        log.warning(
            "%s: %d of %d images have an EXIF orientation, which is not applied; masks and fixations must have the "
            "coordinates of the stored pixels: %s",
            folder,
            len(turned),
            len(paths),
            first_few(turned),
        )


def _is_turned(path: Path) -> bool:
    """Return whether the header of a file has an orientation other than 1; False if it cannot be opened."""
    with suppress(ValueError), opened(path) as image:
        if image.format != "PNG" or "exif" in image.info:  # Pillow would decode a PNG to look behind its pixels
            return image.getexif().get(_ORIENTATION) in _UNDO
    return False


def image_size(path: Path) -> tuple[int, int]:
    """Return the height and width of an image in pixels, from the header of the file.

    Raises:
        ValueError: the file is missing, or is not an image.
    """
    with opened(path) as image:
        return (image.width, image.height) if tiff_turn(image) > 4 else (image.height, image.width)


def image_files(folder: Path, suffixes: Collection[str] = SUFFIXES) -> dict[str, Path]:
    """Return the image files of a folder by stem in NFC, sorted; hidden files and other suffixes do not count.

    Raises:
        ValueError: no such folder, no image in it, or two images with the same stem.
    """
    files: dict[str, Path] = {}
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if _is_image(entry, suffixes))
    except OSError as error:
        raise ValueError(f"{folder}: {_reason(error)}; it must be a folder of images") from error
    for path in (Path(folder) / name for name in names):
        stem = normalize("NFC", path.stem)  # macOS spells accents in another way than lists and tables
        if stem in files:
            raise ValueError(f"{files[stem]} and {path.name} share the stem {stem}; rename or remove one")
        files[stem] = path
    if not files:
        raise ValueError(f"{folder}: no image in this folder; it must have {', '.join(sorted(suffixes))} files")
    return dict(sorted(files.items()))


def write_image(path: Path, pixels: np.ndarray, palette: Sequence[tuple[int, int, int]] = ()) -> None:
    """Write uint8 pixels, [H, W] or [H, W, 3], as a PNG file that is complete or absent.

    With a palette, the values of [H, W] are indices of its colors, and viewers show these.

    Raises:
        ValueError: the folder cannot be written, or the disk is full.
    """
    buffer = io.BytesIO()
    image = Image.fromarray(pixels)
    if palette:
        image.putpalette([part for color in palette for part in color])
    image.save(buffer, "PNG")
    write_bytes(path, buffer.getvalue())


def _is_image(entry: os.DirEntry[str], suffixes: Collection[str]) -> bool:
    return not entry.name.startswith(".") and Path(entry.name).suffix.lower() in suffixes and entry.is_file()


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """Open an image file; every error of Pillow, also of the decoding in the `with` block, becomes one line."""
    try:
        # of a path Pillow maps the file into memory, and mixes up the pixels of a turned gray TIFF
        with path.open("rb") as file, Image.open(file) as image:
            pages = getattr(image, "n_frames", 1) if image.format == "TIFF" else 1
            if pages == 1:
                yield image
                return
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise ValueError(f"cannot read {path}: {_reason(error)}; restore the file or its permissions") from error
    except Exception as error:  # Pillow and its decoders raise various errors on damaged files
        fix = "replace the file or remove its id from the split lists"
        raise ValueError(f"cannot decode {path}: {_reason(error)}; {fix}") from error
    raise ValueError(f"{path}: a TIFF of several pages; save each page as its own image")


def _reason(error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return "more pixels than are safe to decode"
    if isinstance(error, UnidentifiedImageError):
        return "not an image, or its start is damaged"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    message = " ".join(str(error).split())
    return "truncated" if "truncated" in message.lower() else message or type(error).__name__
