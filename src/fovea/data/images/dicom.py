"""DICOM slices."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.pixels import apply_modality_lut, get_decoder

from fovea.data.decoding import decoding
from fovea.data.images.files import scaled
from fovea.runtime.bounds import Window


def read_slice(path: Path, window: Window | None = None, stretched: bool = True) -> np.ndarray:
    """Decode a gray DICOM slice to uint8 [H, W]; a constant slice is black.

    Rescaling and the modality table are applied, MONOCHROME1 is inverted, and padding is black and left out of the
    scale. A window for display in the file is not applied, as published.

    `window` has the values, after rescaling, that are the ends of the scale. Without it, these are the lowest and
    highest of the slice, and the scaled values are truncated, as published; or, if not `stretched`, values of 8 bits
    are read as they are, and others are refused. A ValueError if the file is missing, is not a DICOM image, has several
    frames or colors, or needs a window.
    """
    with _decoding(path):
        dataset = pydicom.dcmread(path)
        syntax = dataset.file_meta.TransferSyntaxUID
        decoder = get_decoder(syntax) if syntax.is_encapsulated else None
    if decoder is not None and not decoder.is_available:
        needed = " or ".join(line.partition("requires ")[2] for line in decoder.missing_dependencies)
        raise ValueError(
            f"cannot decode {path}: no installed package reads {syntax.name}; install "
            f"{needed.replace('gdcm', 'python-gdcm')} (`make dicom` brings python-gdcm), or save it without compression"
        )
    with _decoding(path):
        if "PixelData" in dataset and not dataset.PixelData:
            raise ValueError("no pixels")
        stored = dataset.pixel_array
        gray = str(dataset.PhotometricInterpretation).startswith("MONOCHROME")
        pixels = _modality(stored, dataset) if gray and stored.ndim == 2 else stored
        padding, eight_bit = _padding(stored, dataset), dataset.BitsStored <= 8
        inverse = dataset.PhotometricInterpretation == "MONOCHROME1" or dataset.get("PresentationLUTShape") == "INVERSE"
    if not gray:
        raise ValueError(f"{path}: a color image ({dataset.PhotometricInterpretation}); save it as gray DICOM")
    if stored.ndim != 2:
        raise ValueError(f"{path}: {len(stored)} frames; save each as its own gray DICOM file")
    low, high = window or ends(pixels[~padding], path, stretched, eight_bit)
    if inverse:
        pixels, low, high = -pixels, -high, -low
    return np.where(padding, 0, scaled(pixels, low, high, stretched and window is None)).astype(np.uint8)


def ends(values: np.ndarray, path: Path, stretched: bool, eight_bit: bool) -> tuple[float, float]:
    """Return the values that become 0 and 255 where no window is given; see `read_slice`."""
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    if stretched:
        return low, high
    fractions = not np.array_equal(values, np.rint(values))
    if not eight_bit or low < 0 or high > 255 or fractions:
        what = "values with fractions" if fractions else "more than 8 bits"
        raise ValueError(f"{path}: {what}; set range=[low,high], the values that become 0 and 255")
    return 0.0, 255.0


def _modality(stored: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Return the values after rescaling or the modality table, float64; a missing or empty tag changes nothing."""
    bits, high = dataset.BitsStored, dataset.get("HighBit")
    raw = bits < dataset.BitsAllocated and not dataset.file_meta.TransferSyntaxUID.is_encapsulated
    if raw and high not in (None, bits - 1):  # pydicom ignores it
        raise ValueError(f"HighBit is {high}, but {bits} bits are stored")
    rescaling = {"RescaleSlope": 1, "RescaleIntercept": 0}
    for part in (*_transformations(dataset), dataset):
        rescaling |= {tag: part[tag].value for tag in rescaling if part.get(tag) not in (None, "")}
    dataset.RescaleSlope, dataset.RescaleIntercept = rescaling.values()
    values: np.ndarray = apply_modality_lut(stored, dataset).astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError("RescaleSlope or RescaleIntercept is not a number")
    return values


def _transformations(dataset: Dataset) -> Iterator[Dataset]:
    """Yield where an enhanced image of one frame has its rescaling."""
    for name in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for group in dataset.get(name) or ():
            yield from group.get("PixelValueTransformationSequence") or ()


def _padding(stored: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Return where the pixels are padding: one stored value, or a range of them."""
    if dataset.get("PixelPaddingValue") is None:
        return np.zeros(stored.shape, bool)
    value = int(dataset.PixelPaddingValue)
    limit = dataset.get("PixelPaddingRangeLimit")
    unsigned = np.dtype(f"u{stored.dtype.itemsize}")  # writers disagree on the sign of these two
    ends = np.array([value, value if limit is None else int(limit)]) & np.iinfo(unsigned).max
    lowest, highest = sorted(ends.astype(unsigned).view(stored.dtype.newbyteorder("=")).tolist())
    return (stored >= lowest) & (stored <= highest)


def read_header(path: Path) -> Dataset:
    """Return the header of a DICOM image with `Rows` and `Columns`; ValueError: it is missing or is not an image."""
    with _decoding(path):
        header = pydicom.dcmread(path, stop_before_pixels=True)
        if min(int(header.Rows), int(header.Columns)) < 1:
            raise ValueError("no size")
    return header


def pixel_spacing(header: Dataset) -> tuple[float, float] | None:
    """Return the height and width of a pixel in mm; None if the header has no two such lengths."""
    try:
        height, width = (float(length) for length in header.PixelSpacing)
    except Exception:  # the tag is optional, and pydicom raises various errors on invalid values
        return None
    return (height, width) if all(math.isfinite(side) and side > 0 for side in (height, width)) else None


@contextmanager
def _decoding(path: Path) -> Iterator[None]:
    with decoding(path):
        try:
            yield
        except InvalidDicomError as error:  # its text is advice on pydicom
            raise ValueError("not DICOM, or its start is damaged") from error
