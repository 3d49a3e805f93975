"""Logits to probabilities and labels, in the same way for all modes."""

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F


def resize(logits: Tensor, size: Sequence[int]) -> Tensor:
    """Return logits [B, K, H, W] or [B, K, D, H, W], resized linearly to `size`."""
    if tuple(logits.shape[2:]) == tuple(size):
        return logits
    mode = "bilinear" if len(size) == 2 else "trilinear"
    return F.interpolate(logits, size=tuple(size), mode=mode, align_corners=False)


def activate(logits: Tensor) -> Tensor:
    """Return the probabilities of logits [B, K, *size]: a sigmoid for one class, a softmax for several."""
    return logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(dim=1)


def probabilities(logits: Tensor, size: Sequence[int]) -> Tensor:
    """Return probabilities [B, K, *size]. Logits are resized first, as in the published evaluation of GazeMedSeg."""
    return activate(resize(logits, size))


def labels(probability: Tensor) -> Tensor:
    """Return the labels [B, *size] (int64) of probabilities [B, K, *size]: above 0.5 for one class, else the argmax."""
    return (probability[:, 0] > 0.5).long() if probability.shape[1] == 1 else probability.argmax(dim=1)
