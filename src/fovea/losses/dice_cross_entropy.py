"""Dice and cross-entropy of several classes, for label maps."""

from monai.losses import DiceCELoss
from torch import Tensor


class DiceCrossEntropy(DiceCELoss):
    """MONAI's DiceCELoss for labels without an axis of one channel, as in batches and in torch's cross-entropy."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the scalar loss of logits [B, K, *size] and labels [B, *size] (int64)."""
        return super().forward(input, target.unsqueeze(dim=1))
