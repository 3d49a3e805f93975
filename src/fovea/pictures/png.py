"""Pixels as PNG files."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from fovea.runtime.files import write_bytes


def write_image(path: Path, pixels: np.ndarray, palette: Sequence[tuple[int, int, int]] = ()) -> None:
    """Write pixels as a PNG file: uint8 [H, W, 3], or [H, W] of gray values, uint8 or uint16, or palette indices."""
    write_bytes(path, as_png(pixels, palette))


def as_png(pixels: np.ndarray, palette: Sequence[tuple[int, int, int]] = ()) -> bytes:
    """Return the content of a PNG file, see `write_image`."""
    buffer, image = io.BytesIO(), Image.fromarray(pixels)
    if palette:
        image.putpalette([part for color in palette for part in color])
    image.save(buffer, "PNG", compress_level=1)  # a quarter of the time of the default, and a sixth more bytes
    return buffer.getvalue()
