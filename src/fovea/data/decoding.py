"""Errors of decoders as one line that names the file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten

from PIL import Image, UnidentifiedImageError

_REPLACE = "replace the file, or leave it out of the folder or the split lists"


@contextmanager
def decoding(path: Path) -> Iterator[None]:
    """Turn every error of a decoder into one line; decoders raise various ones on damaged files."""
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) and error.strerror:
            raise ValueError(
                f"cannot read {path}: {error.strerror.lower()}; restore the file or its permissions"
            ) from error
        raise ValueError(f"cannot decode {path}: {_reason(error)}; {_REPLACE}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return "more pixels than are safe to decode"
    if isinstance(error, UnidentifiedImageError):
        return "not an image, or its start is damaged"
    message = shorten(str(error), 120)
    return "truncated" if "truncated" in message.lower() else message or type(error).__name__
