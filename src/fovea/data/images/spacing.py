"""The unit that distances in the images of a split are measured in."""

import logging
from collections.abc import Sequence

from fovea.data.images.folder import Folder
from fovea.runtime.errors import first_few

log = logging.getLogger(__name__)


def common_spacing(dataset: Folder, ids: Sequence[str]) -> tuple[dict[str, tuple[float, float]], str]:
    """Height and width of each image's pixels, and their unit: `mm` where all have a spacing, else `px` for all.

    Millimetres of some images and pixels of others would have no mean.

    Raises:
        ValueError: an image's header cannot be read.
    """
    known = {image_id: spacing for image_id in ids if (spacing := dataset.spacing(image_id)) is not None}
    if len(known) == len(ids):
        return known, "mm"
    if known:
        bare = [image_id for image_id in ids if image_id not in known]
        log.warning("%d images have no pixel spacing, so distances are in pixels: %s", len(bare), first_few(bare))
    return dict.fromkeys(ids, (1.0, 1.0)), "px"
