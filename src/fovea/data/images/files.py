"""Image files: pixels as stored, and errors that name the file."""

import io
import os
import struct
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from fovea.losses import IGNORE
from fovea.runtime.files import write_bytes

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})
"""Suffixes of image files, in lower case."""

_MODES = {1: "L", 3: "RGB"}
_EIGHT_BIT = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"})
_LABELS = frozenset({"1", "L", "P", "I", "I;16", "I;16B", "I;16L"})
_HALF = 127


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
    with _opened(path) as image:
        if image.mode not in _EIGHT_BIT:
            raise ValueError(f"{path}: more than 8 bits per channel ({image.mode}); convert the image to 8 bits")
        pixels = np.array(image.convert(_MODES[channels]))
    return pixels.reshape(*pixels.shape[:2], channels)


def read_mask(path: Path, classes: int = 1, ignore_label: int | None = None) -> np.ndarray:
    """Decode a mask.

    With one class the mask is binary: colors become gray, and the threshold is 127 (JPEG is lossy, so its values
    scatter around 0 and 255), or 0 in a lossless file that has only 0 and 1. With more classes the stored integers (of
    a palette file, its indices) are the classes, and 0 is the background.

    Args:
        path: The file.
        classes: Number of classes; 1 is foreground against background.
        ignore_label: Stored value of pixels that nobody labeled.

    Returns:
        uint8 [H, W] of values below max(classes, 2); with an `ignore_label`, int16, and -1 where nobody labeled.

    Raises:
        ValueError: the file is missing or cannot be decoded, or its values are not those of such a mask.
    """
    exact = classes > 1 or ignore_label is not None
    with _opened(path) as image:
        lossy, mode = image.format in {"JPEG", "MPO"}, image.mode
        values = np.asarray(image if exact or mode in _LABELS - {"1", "P"} else image.convert("L"))
    if exact and lossy:
        raise ValueError(f"{path}: JPEG does not keep labels; save the mask as PNG")
    if exact and mode not in _LABELS:
        raise ValueError(f"{path}: a color mask ({mode}) has no labels; save it as integers below {max(classes, 2)}")
    if ignore_label is None:
        return _checked(path, values, classes, lossy).astype(np.uint8)
    ignored = values == ignore_label
    mask = _checked(path, np.where(ignored, 0, values), classes, lossy)
    return np.where(ignored, np.int16(IGNORE), mask).astype(np.int16)


def image_size(path: Path) -> tuple[int, int]:
    """Return the height and width of an image in pixels, from the header of the file.

    Raises:
        ValueError: the file is missing, or is not an image.
    """
    with _opened(path) as image:
        return image.height, image.width


def image_files(folder: Path, suffixes: Collection[str] = SUFFIXES) -> dict[str, Path]:
    """Return the image files of a folder by stem, sorted; hidden files and other suffixes do not count.

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
        if path.stem in files:
            raise ValueError(f"{files[path.stem]} and {path.name} share the stem {path.stem}; rename or remove one")
        files[path.stem] = path
    if not files:
        raise ValueError(f"{folder}: no image in this folder; it must have {', '.join(sorted(suffixes))} files")
    return dict(sorted(files.items()))


def write_image(path: Path, pixels: np.ndarray) -> None:
    """Write uint8 pixels, [H, W] or [H, W, 3], as a PNG file that is complete or absent.

    Raises:
        ValueError: the folder cannot be written, or the disk is full.
    """
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    write_bytes(path, buffer.getvalue())


def _is_image(entry: os.DirEntry[str], suffixes: Collection[str]) -> bool:
    return not entry.name.startswith(".") and Path(entry.name).suffix.lower() in suffixes and entry.is_file()


def _checked(path: Path, values: np.ndarray, classes: int, lossy: bool) -> np.ndarray:
    """Return the classes of stored values, checked."""
    lowest, highest = int(values.min()), int(values.max())
    if classes == 1 and (lossy or highest > _HALF):
        return values > _HALF
    if classes == 1 and highest > 1:
        raise ValueError(
            f"{path}: a binary mask has the values 0 and 255 (or 0 and 1), the highest here is {highest}; "
            "save it with these, or set data.classes or data.ignore_label"
        )
    if lowest < 0 or highest >= max(classes, 2):
        wrong = lowest if lowest < 0 else highest
        raise ValueError(
            f"{path}: label {wrong} is not in 0 to {classes - 1}; correct the mask, data.classes or data.ignore_label"
        )
    return values


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Open an image file; every error of Pillow, also of the decoding in the `with` block, becomes one line."""
    try:
        with Image.open(path) as image:
            pages = getattr(image, "n_frames", 1) if image.format == "TIFF" else 1
            if pages == 1:
                yield image
                return
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise ValueError(f"cannot read {path}: {_reason(error)}; restore the file or its permissions") from error
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError) as error:
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
