"""Images and masks of a data set, checked where its class may be yours: a wrong array would be trained on."""

import numpy as np

from fovea.data.images.folder import Folder
from fovea.losses import IGNORE


def checked_image(dataset: Folder, image_id: str) -> np.ndarray:
    """Return an image, uint8 [H, W, channels]; a ValueError if the class of the data set returns anything else."""
    image = dataset.image(image_id)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != dataset.channels:
        got = f"{image.dtype} {list(image.shape)}"
        raise ValueError(f"{_name(dataset)}.image of {image_id} must be uint8 [H, W, {dataset.channels}], got {got}")
    return image


def checked_mask(dataset: Folder, image_id: str) -> np.ndarray:
    """Return a mask, as `Folder.mask` does; a ValueError if the class of the data set returns anything else."""
    mask = dataset.mask(image_id)
    if type(dataset).mask is Folder.mask:  # checked against its image already
        return mask
    least, most = 0 if dataset.ignore_label is None else IGNORE, max(dataset.classes, 2) - 1
    size = dataset.size(image_id)
    if mask.dtype.kind not in "biu" or mask.shape != size or mask.min() < least or mask.max() > most:
        must = f"must be integers from {least} to {most}, {list(size)}, the size of the image"
        got = f"{mask.dtype} {list(mask.shape)} from {mask.min():g} to {mask.max():g}"
        raise ValueError(f"{_name(dataset)}.mask of {image_id} {must}, got {got}")
    return mask


def _name(dataset: Folder) -> str:
    return f"data.dataset: {type(dataset).__name__}"
