"""The batch that the data hands to a supervision mode."""

from collections.abc import Mapping
from typing import TypedDict

from torch import Tensor

Image = Tensor | Mapping[str, Tensor]
"""[B, C, *size], or a mapping of such tensors by modality."""


class Batch(TypedDict, total=False):
    """A batch of B images or volumes. It holds the targets that the mode needs, and no others.

    A mode that needs `unlabeled` gets two streams: `{"labeled": batch, "unlabeled": batch}`. A pixel that nobody
    labeled is -1 in `mask` and `target`.
    """

    image: Image
    """float32, normalized."""
    index: Tensor
    """[B] int64: the position of each image in its split."""
    id: list[str]
    mask: Image
    """float32 [B, 1, *size] of 0 and 1 for one class; int64 class indices [B, *size] for several."""
    pseudo: Tensor
    """float32 [B, 1, *size]: the continuous map in [0, 1]."""
    target: Tensor
    """int64 class indices [B, *native size], for validation."""
    labeled: "Batch"
    unlabeled: "Batch"
