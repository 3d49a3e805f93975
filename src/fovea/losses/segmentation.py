"""Losses of one class and of several: the channels of the logits choose the sigmoid or the softmax form.

MONAI is imported only by the losses that need it, since its import takes seconds.
"""

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from fovea.runtime.bounds import Fraction, NonNegative

_SOFTMAX: dict[str, Any] = {"softmax": True, "to_onehot_y": True, "include_background": False}


class CrossEntropy(nn.Module):
    """Binary cross-entropy of one class; of several, the cross-entropy of all with the background."""

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return a scalar; see `OneOrSeveral`."""
        if logits.shape[1] == 1:
            return F.binary_cross_entropy_with_logits(logits, target)
        return F.cross_entropy(logits, target)


class OneOrSeveral(nn.Module):
    """A pair of MONAI's losses: for one class, and for several, which takes labels with an axis of one channel."""

    def __init__(self, one: nn.Module, several: nn.Module) -> None:
        super().__init__()
        self.one, self.several = one, several

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return a scalar of logits [B, K, *size] and a target.

        It is [B, 1, *size] of 0 and 1 for K = 1, class indices [B, *size] for K > 1. A ValueError for weights of
        classes if there is one: MONAI would leave them out.
        """
        if logits.shape[1] == 1 and getattr(self.one, "class_weight", None) is not None:
            raise ValueError("weight is for several classes, and there is one; leave it out")
        loss: Tensor = self.one(logits, target) if logits.shape[1] == 1 else self.several(logits, target[:, None])
        return loss


class Dice(OneOrSeveral):
    """Soft Dice of the foreground classes; the options are those of `monai.losses.DiceLoss`."""

    def __init__(self, **options: Any) -> None:
        from monai.losses import DiceLoss

        super().__init__(DiceLoss(sigmoid=True, **options), DiceLoss(**_SOFTMAX, **options))


class DiceCrossEntropy(OneOrSeveral):
    """Soft Dice of the foreground classes plus cross-entropy; options of `monai.losses.DiceCELoss`."""

    def __init__(self, **options: Any) -> None:
        from monai.losses import DiceCELoss

        super().__init__(DiceCELoss(sigmoid=True, **options), DiceCELoss(**_SOFTMAX, **options))


class Focal(OneOrSeveral):
    """Focal loss, the mean over pixels; the options are those of `monai.losses.FocalLoss`."""

    def __init__(self, gamma: NonNegative = 2.0, alpha: Fraction | None = None, **options: Any) -> None:
        from monai.losses import FocalLoss

        options |= {"gamma": gamma, "alpha": alpha}
        super().__init__(FocalLoss(**options), FocalLoss(use_softmax=True, to_onehot_y=True, **options))

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return a scalar; see `OneOrSeveral`. MONAI takes the mean over the classes too."""
        return super().forward(logits, target) * logits.shape[1]
