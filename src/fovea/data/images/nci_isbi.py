"""NCI-ISBI 2013: prostate MRI, one image per slice."""

from pathlib import Path

import numpy as np

from fovea.data.images.dicom import pixel_spacing, read_header, read_slice
from fovea.data.images.files import Exif
from fovea.data.images.folder import Folder
from fovea.runtime.bounds import Window


class NciIsbi(Folder):
    """NCI-ISBI 2013 as `fovea-import format=nci_isbi` writes it: DICOM slices in `images/`, PNG masks in `masks/`.

    An id is `<patient>_<InstanceNumber>`. The lists that the import writes are those of GazeMedSeg (Zhong et al.,
    MICCAI 2024), 789 slices of 59 patients and 117 of 10, as far as the slices are present. `channels` is 1, or 3 to
    repeat the gray values three times.

    Source: Bloch et al., NCI-ISBI 2013 Challenge: Automated Segmentation of Prostate Structures, The Cancer Imaging
    Archive, 2015.
    """

    image_suffixes = frozenset({".dcm"})
    stretched = True

    def patient(self, image_id: str) -> str:
        """Return the patient ID of a slice: by `patients.csv`, else the part of its id before the last underscore."""
        return self._patients.get(image_id) or image_id.rpartition("_")[0] or image_id

    @staticmethod
    def decode(path: Path, channels: int, range: Window | None = None, exif: Exif = "ignore") -> np.ndarray:
        """Decode a slice to uint8 [H, W, channels]; DICOM has no EXIF orientation."""
        return np.repeat(read_slice(path, range)[:, :, None], channels, axis=2)

    def size(self, image_id: str) -> tuple[int, int]:
        header = read_header(self.image_path(image_id))
        return int(header.Rows), int(header.Columns)

    def spacing(self, image_id: str) -> tuple[float, float] | None:
        return pixel_spacing(read_header(self.image_path(image_id)))
