"""Losses that noisy labels disturb less than cross-entropy; p is the probability of a pixel's label."""

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from fovea.runtime.bounds import NonNegative, PositiveFraction

Negative = Annotated[float, Field(strict=True, lt=0, allow_inf_nan=False)]


class GeneralizedCrossEntropy(nn.Module):
    """The mean of (1 - p^q) / q: near cross-entropy for a small q, the mean absolute error for q = 1.

    Zhang and Sabuncu, "Generalized Cross Entropy Loss for Training Deep Neural Networks with Noisy Labels", NeurIPS
    2018.
    """

    def __init__(self, q: PositiveFraction) -> None:
        super().__init__()
        self.q = q

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return a scalar; see `fovea.losses.segmentation.OneOrSeveral`."""
        return (-(-self.q * _negative_log(logits, target)).expm1() / self.q).mean()


class SymmetricCrossEntropy(nn.Module):
    """Cross-entropy, plus that of the label under the prediction, in which log 0 is `log_zero`.

    The mean of forward (-log p) - reverse log_zero (1 - p). Wang et al., "Symmetric Cross Entropy for Robust Learning
    with Noisy Labels", ICCV 2019.

    Args:
        forward_weight: Of the cross-entropy.
        reverse_weight: Of the reverse cross-entropy.
        log_zero: At 0 or above, the loss would favor wrong labels.
    """

    def __init__(self, forward_weight: NonNegative, reverse_weight: NonNegative, log_zero: Negative) -> None:
        super().__init__()
        self.weights = forward_weight, -log_zero * reverse_weight

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return a scalar; see `fovea.losses.segmentation.OneOrSeveral`."""
        entropy = _negative_log(logits, target)
        forward, reverse = self.weights
        return (forward * entropy - reverse * (-entropy).expm1()).mean()


def _negative_log(logits: Tensor, target: Tensor) -> Tensor:
    """Return -log p of each pixel."""
    if logits.shape[1] == 1:
        return F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return F.cross_entropy(logits, target, reduction="none")
