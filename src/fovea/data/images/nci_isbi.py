"""NCI-ISBI 2013: prostate MRI, a slice an image."""

import math
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset

from fovea.data.images.folder import Folder


class NciIsbi(Folder):
    """NCI-ISBI 2013 as `fovea-import format=nci_isbi` writes it: DICOM slices in `images/`, PNG masks in `masks/`.

    An id is `<patient>_<InstanceNumber>`, and no split shares a patient with another: the validation split is carved
    out of `train.txt` by patient. The lists that the import writes are those of GazeMedSeg (Zhong et al., MICCAI
    2024), 789 slices of 59 patients and 117 of 10, as far as the slices are there.

    Source: Bloch et al., NCI-ISBI 2013 Challenge: Automated Segmentation of Prostate Structures, The Cancer Imaging
    Archive, 2015. Arguments and errors are those of `Folder`; `channels` is 1, or 3 to repeat the grey three times.
    """

    image_suffixes = frozenset({".dcm"})

    def patient(self, name: str) -> str:
        """What stands before the id's last underscore."""
        return name.rpartition("_")[0] or name

    @staticmethod
    def decode(path: Path, channels: int) -> np.ndarray:
        """A slice, uint8 [H, W, channels]: min-max scaled to 0-255 and truncated, as published."""
        return np.repeat(read_slice(path)[:, :, None], channels, axis=2)

    def size(self, name: str) -> tuple[int, int]:
        """Native height and width of a slice in pixels, from the file's header."""
        header = read_header(self.image_path(name))
        return int(header.Rows), int(header.Columns)

    def spacing(self, name: str) -> tuple[float, float] | None:
        """Height and width of a slice's pixels in mm, from its header; None where that has no two such lengths."""
        header = read_header(self.image_path(name))
        try:
            height, width = (float(length) for length in header.PixelSpacing)
        except Exception:  # optional, and what pydicom raises on a value that is no number is its own affair
            return None
        return (height, width) if all(math.isfinite(each) and each > 0 for each in (height, width)) else None


def read_slice(path: Path) -> np.ndarray:
    """Decode a grey DICOM slice, min-max scaled to 0-255 and truncated to 8 bits; a slice of one value is black.

    Returns:
        uint8 [H, W].

    Raises:
        ValueError: the file is missing, is no DICOM image, or holds several frames or colours.
    """
    try:
        stored = pydicom.dcmread(path).pixel_array
    except Exception as error:  # pydicom and its decoders raise whatever a damaged file leads them into
        raise _undecodable(path, error) from error
    if stored.ndim != 2:
        raise ValueError(f"{path}: {stored.ndim} axes of pixels; save each frame as a grey DICOM file of its own")
    pixels = stored.astype(np.float64)
    spread = np.ptp(pixels)
    return ((pixels - pixels.min()) / (spread or 1.0) * 255).astype(np.uint8)


def read_header(path: Path) -> Dataset:
    """The header of a DICOM image, with `Rows` and `Columns`; the pixels are not read.

    Raises:
        ValueError: the file is missing, or is no DICOM image.
    """
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True)
        assert header.Rows > 0 and header.Columns > 0
    except Exception as error:  # as above
        raise _undecodable(path, error) from error
    return header


def _undecodable(path: Path, error: Exception) -> ValueError:
    if isinstance(error, OSError) and error.strerror:
        return ValueError(f"cannot read {path}: {error.strerror.lower()}; restore the file or its permissions")
    reason = " ".join(str(error).split()) or "no size"
    return ValueError(f"cannot decode {path}: {reason[:120]}; replace the file or remove its id from the split lists")
