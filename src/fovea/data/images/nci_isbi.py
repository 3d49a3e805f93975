"""NCI-ISBI 2013: prostate MRI, one image per slice."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut, get_decoder

from fovea.data.images.files import Exif, Window
from fovea.data.images.folder import Folder


class NciIsbi(Folder):
    """NCI-ISBI 2013 as `fovea-import format=nci_isbi` writes it: DICOM slices in `images/`, PNG masks in `masks/`.

    An id is `<patient>_<InstanceNumber>`. The lists that the import writes are those of GazeMedSeg (Zhong et al.,
    MICCAI 2024), 789 slices of 59 patients and 117 of 10, as far as the slices are present. `channels` is 1, or 3 to
    repeat the gray values three times.

    Source: Bloch et al., NCI-ISBI 2013 Challenge: Automated Segmentation of Prostate Structures, The Cancer Imaging
    Archive, 2015.
    """

    image_suffixes = frozenset({".dcm"})

    def patient(self, image_id: str) -> str:
        """Return the patient ID of a slice: the part of its id before the last underscore."""
        return image_id.rpartition("_")[0] or image_id

    @staticmethod
    def decode(path: Path, channels: int, range: Window | None = None, exif: Exif = "ignore") -> np.ndarray:
        """Decode a slice to uint8 [H, W, channels]; DICOM has no EXIF orientation."""
        return np.repeat(read_slice(path, range)[:, :, None], channels, axis=2)

    def size(self, image_id: str) -> tuple[int, int]:
        """Return the native height and width of a slice in pixels, from its header."""
        header = read_header(self.image_path(image_id))
        return int(header.Rows), int(header.Columns)

    def spacing(self, image_id: str) -> tuple[float, float] | None:
        """Return the height and width of a pixel in mm; None if the header has no two such lengths."""
        header = read_header(self.image_path(image_id))
        try:
            height, width = (float(length) for length in header.PixelSpacing)
        except Exception:  # the tag is optional, and pydicom raises various errors on invalid values
            return None
        return (height, width) if all(math.isfinite(side) and side > 0 for side in (height, width)) else None


def read_slice(path: Path, window: Window | None = None) -> np.ndarray:
    """Decode a gray DICOM slice to uint8 [H, W], scaled and truncated as published; a constant slice is black.

    Rescaling and the modality table are applied, MONOCHROME1 is inverted, and padding is black and left out of the
    scale. A window for display in the file is not applied, as published.

    Args:
        path: The file.
        window: The values, after rescaling, that are the ends of the scale; None: the lowest and highest of the slice.

    Raises:
        ValueError: the file is missing, is not a DICOM image, or has several frames or colors.
    """
    with _one_line(path):
        dataset = pydicom.dcmread(path)
        syntax = dataset.file_meta.TransferSyntaxUID
        readable = not syntax.is_encapsulated or get_decoder(syntax).is_available
    if not readable:
        raise ValueError(
            f"cannot decode {path}: no installed package reads {syntax.name}; install pylibjpeg[all], or save the file "
            "without compression"
        )
    with _one_line(path):
        stored = dataset.pixel_array
        gray = str(dataset.PhotometricInterpretation).startswith("MONOCHROME")
        pixels = _modality(stored, dataset) if gray and stored.ndim == 2 else stored
        padding = _padding(stored, dataset)
        inverse = dataset.PhotometricInterpretation == "MONOCHROME1" or dataset.get("PresentationLUTShape") == "INVERSE"
    if not gray:
        raise ValueError(f"{path}: a color image ({dataset.PhotometricInterpretation}); save it as gray DICOM")
    if stored.ndim != 2:
        raise ValueError(f"{path}: {stored.ndim} axes of pixels; save each frame as its own gray DICOM file")
    shown = pixels[~padding]
    low, high = window or ((shown.min(), shown.max()) if shown.size else (0, 1))
    if inverse:
        pixels, low, high = -pixels, -high, -low
    scaled = (np.clip(pixels, low, high) - low) / ((high - low) or 1.0) * 255
    return np.where(padding, 0, scaled).astype(np.uint8)


def _modality(stored: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Return the values after rescaling or the modality table, float64."""
    if "RescaleSlope" in dataset and "RescaleIntercept" not in dataset:
        dataset.RescaleIntercept = 0
    values: np.ndarray = apply_modality_lut(stored, dataset).astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError("RescaleSlope or RescaleIntercept is not a number")
    return values


def _padding(stored: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Return where the pixels are padding: one stored value, or a range of them."""
    if dataset.get("PixelPaddingValue") is None:
        return np.zeros(stored.shape, bool)
    value = int(dataset.PixelPaddingValue)
    limit = dataset.get("PixelPaddingRangeLimit")
    unsigned = np.dtype(f"u{stored.dtype.itemsize}")  # writers disagree on the sign of these two
    ends = np.array([value, value if limit is None else int(limit)]) & np.iinfo(unsigned).max
    lowest, highest = sorted(ends.astype(unsigned).view(stored.dtype).tolist())
    padding: np.ndarray = (stored >= lowest) & (stored <= highest)
    return padding


def read_header(path: Path) -> Dataset:
    """Return the header of a DICOM image with `Rows` and `Columns`; ValueError: it is missing or is not an image."""
    with _one_line(path):
        header = pydicom.dcmread(path, stop_before_pixels=True)
        if min(int(header.Rows), int(header.Columns)) < 1:
            raise ValueError("no size")
    return header


@contextmanager
def _one_line(path: Path) -> Iterator[None]:
    """Turn every error of pydicom and its decoders, which raise various ones on damaged files, into one line."""
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) and error.strerror:
            raise ValueError(f"cannot read {path}: {error.strerror.lower()}; restore it or its permissions") from error
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        fix = "replace the file or remove its id from the split lists"
        raise ValueError(f"cannot decode {path}: {reason}; {fix}") from error
