"""How logits are read as probabilities, the same way in every mode."""

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F


def resize(logits: Tensor, size: Sequence[int]) -> Tensor:
    """Logits [B, K, H, W] or [B, K, D, H, W], resized linearly to `size`."""
    if tuple(logits.shape[2:]) == tuple(size):
        return logits
    mode = "bilinear" if len(size) == 2 else "trilinear"
    return F.interpolate(logits, size=tuple(size), mode=mode, align_corners=False)


def activate(logits: Tensor) -> Tensor:
    """Probabilities of logits [B, K, ...]: sigmoid for one class, softmax with the background first for more."""
    return logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(dim=1)


def probabilities(logits: Tensor, size: Sequence[int]) -> Tensor:
    """Probabilities [B, K, *size]: logits are resized first, as in the published evaluation of GazeMedSeg."""
    return activate(resize(logits, size))


def labels(probability: Tensor) -> Tensor:
    """Label maps [B, *size] (int64) of probabilities [B, K, *size]: above 0.5 for one class, else the likeliest."""
    return (probability[:, 0] > 0.5).long() if probability.shape[1] == 1 else probability.argmax(dim=1)
