"""NCI-ISBI 2013: prostate MRI, one image per slice."""

import math
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset

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
    def decode(path: Path, channels: int) -> np.ndarray:
        """Decode a slice to uint8 [H, W, channels]: min-max scaled to 0-255 and truncated, as published."""
        return np.repeat(read_slice(path)[:, :, None], channels, axis=2)

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


def read_slice(path: Path) -> np.ndarray:
    """Decode a gray DICOM slice to uint8 [H, W], min-max scaled; a slice with a single value is black.

    Raises:
        ValueError: the file is missing, is not a DICOM image, or has several frames or colors.
    """
    try:
        stored = pydicom.dcmread(path).pixel_array
    except Exception as error:  # pydicom and its decoders raise various errors on damaged files
        raise _undecodable(path, error) from error
    if stored.ndim != 2:
        raise ValueError(f"{path}: {stored.ndim} axes of pixels; save each frame as its own gray DICOM file")
    pixels = stored.astype(np.float64)
    spread = np.ptp(pixels)
    return ((pixels - pixels.min()) / (spread or 1.0) * 255).astype(np.uint8)


def read_header(path: Path) -> Dataset:
    """Return the header of a DICOM image with `Rows` and `Columns`; the pixels are not read.

    Raises:
        ValueError: the file is missing, or is not a DICOM image.
    """
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True)
        sides = int(header.Rows), int(header.Columns)
    except Exception as error:  # as above
        raise _undecodable(path, error) from error
    if min(sides) < 1:
        raise ValueError(f"cannot decode {path}: no size; replace the file or remove its id from the split lists")
    return header


def _undecodable(path: Path, error: Exception) -> ValueError:
    if isinstance(error, OSError) and error.strerror:
        return ValueError(f"cannot read {path}: {error.strerror.lower()}; restore the file or its permissions")
    reason = " ".join(str(error).split()) or type(error).__name__
    return ValueError(f"cannot decode {path}: {reason[:120]}; replace the file or remove its id from the split lists")
