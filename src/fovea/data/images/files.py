"""Images and masks from files: pixels as stored, errors that name the file."""

import io
import os
import struct
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from fovea.runtime.files import write_bytes

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})
"""Suffixes of the files that count as images, in lower case."""

_MODES = {1: "L", 3: "RGB"}
_EIGHT_BIT = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"})
_LABELS = frozenset({"1", "L", "P", "I", "I;16", "I;16B", "I;16L"})
_HALF = 127


def read_image(path: Path, channels: int = 3) -> np.ndarray:
    """Decode an image.

    The pixels come as they are stored: an EXIF orientation is not applied. Masks and fixations are given in the
    coordinates of the stored pixels and carry no EXIF, so that turning the image alone would tear it from them.

    Args:
        path: the file.
        channels: 3 for RGB, 1 for grey.

    Returns:
        uint8 [H, W, channels].

    Raises:
        ValueError: the file is missing, cannot be decoded, or holds more than 8 bits a channel.
    """
    if channels not in _MODES:
        raise ValueError(f"data.channels: {channels} is not possible for image files; use 3 (RGB) or 1 (grey)")
    with _opened(path) as image:
        if image.mode not in _EIGHT_BIT:
            raise ValueError(
                f"{path}: pixels of more than 8 bits ({image.mode}); convert the image to 8 bits a channel"
            )
        pixels = np.array(image.convert(_MODES[channels]))
    return pixels.reshape(*pixels.shape[:2], channels)


def read_mask(path: Path, classes: int = 1) -> np.ndarray:
    """Decode a mask.

    With one class the mask is binary: colours are turned to grey, and the threshold is 127 (JPEG is lossy, so its
    values scatter around 0 and 255), or 0 in a lossless file of nothing but 0 and 1. With more classes the stored
    integers (of a palette file, its indices) are the labels, 0 the background.

    Args:
        path: the file.
        classes: number of classes; 1 is foreground against background.

    Returns:
        uint8 [H, W], values below max(classes, 2).

    Raises:
        ValueError: the file is missing or cannot be decoded; a binary mask's values tell no foreground; labels are
            in colour, in a lossy file, or not below `classes`.
    """
    with _opened(path) as image:
        lossy, mode = image.format in {"JPEG", "MPO"}, image.mode
        as_stored = classes > 1 or mode in _LABELS - {"1", "P"}
        grey = np.asarray(image if as_stored else image.convert("L"))
    if classes > 1:
        return _labels(path, grey, mode, classes, lossy)
    brightest = int(grey.max())
    if lossy or brightest > _HALF:
        return (grey > _HALF).astype(np.uint8)
    if brightest > 1:
        raise ValueError(
            f"{path}: a binary mask's values are 0 and 255 (or 0 and 1), here they end at {brightest}; "
            "save it so, or set data.classes if these are labels"
        )
    return grey.astype(np.uint8)


def image_size(path: Path) -> tuple[int, int]:
    """Height and width of an image in pixels, read from the file's header alone.

    Raises:
        ValueError: the file is missing or is no image.
    """
    with _opened(path) as image:
        return image.height, image.width


def image_files(folder: Path, suffixes: Collection[str] = SUFFIXES) -> dict[str, Path]:
    """The image files of a folder by stem, in the order of the stems; hidden files and other suffixes do not count.

    Args:
        folder: where they lie.
        suffixes: of the files that count, in lower case.

    Raises:
        ValueError: no such folder, no image in it, or two images of one stem.
    """
    files: dict[str, Path] = {}
    try:
        with os.scandir(folder) as entries:
            found = sorted(entry.name for entry in entries if _is_image(entry, suffixes))
    except OSError as error:
        raise ValueError(f"{folder}: {_reason(error)}; a folder of images should stand there") from error
    for path in (Path(folder) / name for name in found):
        if path.stem in files:
            raise ValueError(f"{files[path.stem]} and {path.name} share the stem {path.stem}; rename or remove one")
        files[path.stem] = path
    if not files:
        raise ValueError(f"{folder}: no image in this folder; it should hold {', '.join(sorted(suffixes))} files")
    return dict(sorted(files.items()))


def write_image(path: Path, pixels: np.ndarray) -> None:
    """Write uint8 pixels, [H, W] or [H, W, 3], as a PNG file that is whole or absent.

    Raises:
        ValueError: the folder cannot be written, or the disk is full.
    """
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    write_bytes(path, buffer.getvalue())


def _is_image(entry: os.DirEntry[str], suffixes: Collection[str]) -> bool:
    return not entry.name.startswith(".") and Path(entry.name).suffix.lower() in suffixes and entry.is_file()


def _labels(path: Path, labels: np.ndarray, mode: str, classes: int, lossy: bool) -> np.ndarray:
    if lossy:
        raise ValueError(f"{path}: JPEG does not keep labels; save the mask of {classes} classes as PNG")
    if mode not in _LABELS:
        raise ValueError(f"{path}: a colour mask ({mode}) names no labels; save it as integers below {classes}")
    lowest, highest = int(labels.min()), int(labels.max())
    if lowest < 0 or highest >= classes:
        wrong = lowest if lowest < 0 else highest
        raise ValueError(f"{path}: label {wrong} is outside 0 to {classes - 1}; mend the mask or data.classes")
    return labels.astype(np.uint8)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Open an image file; whatever Pillow raises on it, while it is decoded too, becomes one line."""
    try:
        with Image.open(path) as image:
            pages = getattr(image, "n_frames", 1) if image.format == "TIFF" else 1
            if pages == 1:
                yield image
                return
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise ValueError(f"cannot read {path}: {_reason(error)}; restore the file or its permissions") from error
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError) as error:
        mend = "replace the file or remove its id from the split lists"
        raise ValueError(f"cannot decode {path}: {_reason(error)}; {mend}") from error
    raise ValueError(f"{path}: a TIFF of several pages; save every page as an image of its own")


def _reason(error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return "more pixels than are safe to decode"
    if isinstance(error, UnidentifiedImageError):
        return "not an image, or its start is damaged"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    message = " ".join(str(error).split())
    return "truncated" if "truncated" in message.lower() else message or type(error).__name__
