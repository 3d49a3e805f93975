"""Kvasir-SEG: colonoscopy images with one or more polyps."""

from fovea.data.images.folder import Folder
from fovea.data.splits import published


class Kvasir(Folder):
    """Kvasir-SEG as it is downloaded: JPEG images in `images/`, JPEG masks of the same names in `masks/`.

    1000 images from 332 x 487 to 1920 x 1072 pixels with binary masks. The splits are the published lists of 900
    and 100 ids that GazeMedSeg (Zhong et al., MICCAI 2024) uses. The set names no patients, so the validation split
    is carved by image. Only the images of splits that are read need to be on disk.

    Source: Jha et al., Kvasir-SEG: A Segmented Polyp Dataset, MMM 2020; for research and education only. Arguments
    and errors are those of `Folder`.
    """

    def _lists(self) -> tuple[list[str] | None, list[str] | None, list[str] | None]:
        return published("kvasir_train"), None, published("kvasir_test")
