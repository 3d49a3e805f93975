"""Dice and cross-entropy of several classes, against a label map."""

from monai.losses import DiceCELoss
from torch import Tensor


class DiceCrossEntropy(DiceCELoss):
    """MONAI's DiceCELoss, given labels without their axis of one channel, as batches and torch's cross-entropy have it.

    Its arguments are MONAI's; see `configs/loss/dice_ce.yaml`.
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """A scalar, of logits [B, K, ...] and labels [B, ...] (int64)."""
        return super().forward(input, target.unsqueeze(dim=1))
