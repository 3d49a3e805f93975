"""The one typed mapping that goes from data to supervision."""

from typing import NotRequired, TypedDict

from torch import Tensor


class Batch(TypedDict):
    """A batch of B images of size [H, W]; only the targets that were asked for are there."""

    image: Tensor  # [B, C, H, W] float32, normalised
    index: Tensor  # [B] int64, place of the image in its split
    id: list[str]
    mask: NotRequired[Tensor]  # [B, 1, H, W] float32 of 0 and 1 for one class, [B, H, W] int64 labels for more
    pseudo: NotRequired[Tensor]  # [B, 1, H, W] float32, the continuous map in [0, 1]
    target: NotRequired[Tensor]  # [B, h, w] int64 labels at native size: what validation and evaluation score against
