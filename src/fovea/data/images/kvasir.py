"""Kvasir-SEG: colonoscopy images with one or more polyps."""

from collections.abc import Mapping

from fovea.data.images.folder import Folder
from fovea.data.splits import published


class Kvasir(Folder):
    """Kvasir-SEG as it is downloaded: JPEG images in `images/`, JPEG masks with the same names in `masks/`.

    1000 images from 332 x 487 to 1920 x 1072 pixels with binary masks. The splits are the published lists of 900
    and 100 ids that GazeMedSeg (Zhong et al., MICCAI 2024) uses. The data set names no patients, so val is drawn by
    image. Only the images of splits that are read must be on disk.

    Source: Jha et al., Kvasir-SEG: A Segmented Polyp Dataset, MMM 2020; for research and education only.
    """

    def lists(self) -> Mapping[str, list[str]]:
        return {"train": published("kvasir_train"), "test": published("kvasir_test")}
