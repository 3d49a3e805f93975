"""Logits to probabilities and labels, in the same way for all modes."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from fovea.losses import IGNORE
from fovea.losses.precision import single


def resize(logits: Tensor, size: Sequence[int]) -> Tensor:
    """Return logits [B, K, H, W] or [B, K, D, H, W], resized linearly to `size`."""
    if not torch.compiler.is_compiling() and tuple(logits.shape[2:]) == tuple(size):  # an export has all sizes
        return logits
    mode = "bilinear" if len(size) == 2 else "trilinear"
    return F.interpolate(logits, size=tuple(size), mode=mode, align_corners=False)


def activate(logits: Tensor) -> Tensor:
    """Return the probabilities of logits [B, K, *size]: a sigmoid for one class, a softmax for several.

    They are in float32 at least: `confident` compares with 0.95, and bfloat16 has steps of 0.004 there.
    """
    logits = single(logits)
    return logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(dim=1)


def probabilities(logits: Tensor, size: Sequence[int]) -> Tensor:
    """Return probabilities [B, K, *size]. Logits are resized first, as in the published evaluation of GazeMedSeg."""
    return activate(resize(logits, size))


def labels(probability: Tensor) -> Tensor:
    """Return the labels [B, *size] (int64) of probabilities [B, K, *size]: above 0.5 for one class, else the argmax."""
    return (probability[:, 0] > 0.5).long() if probability.shape[1] == 1 else probability.argmax(dim=1)


def as_arrays(probability: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels, uint8 [*size], and the probabilities, float32 [K, *size], of the only image of a batch.

    A ValueError if a probability is not a number, e.g. after an overflow in half precision.
    """
    if bool(probability.isnan().any()):
        raise ValueError("the network returns values that are not numbers; give another checkpoint")
    return labels(probability)[0].cpu().numpy().astype(np.uint8), probability[0].float().cpu().numpy()


def as_target(trimap: Tensor, logits: Mapping[str, Tensor]) -> Tensor:
    """Return a trimap [B, 1, *size] of 0, 1 and -1 as the target of logits by modality; for two classes, by index."""
    return trimap if next(iter(logits.values())).shape[1] == 1 else trimap[:, 0].long()


def confident(logits: Tensor, confidence: float) -> Tensor:
    """Return the labels of logits [B, K, *size] as a target, -1 where no class has a probability above `confidence`."""
    probability = activate(logits)
    if logits.shape[1] == 1:
        sure = torch.maximum(probability, 1 - probability) > confidence
        return torch.where(sure, (probability > 0.5).to(logits.dtype), IGNORE)
    highest, label = probability.max(dim=1)
    return torch.where(highest > confidence, label, IGNORE)
