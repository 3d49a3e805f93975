"""A loss that leaves unlabeled pixels out."""

from torch import Tensor, nn

from fovea.losses import IGNORE as IGNORE


class IgnoreLabel(nn.Module):
    """Compute a loss on the labeled pixels only.

    With cross-entropy this is the partial cross-entropy of Tang et al., "Normalized Cut Loss for Weakly-Supervised CNN
    Segmentation", CVPR 2018. The labeled pixels of the batch become one column of N pixels. This is right for a loss
    that averages over pixels or sums over the batch. A loss that works image by image then sees a single image.
    """

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss on the pixels that are not -1: exactly the loss if none is; 0 without a gradient if all are.

        Logits are [B, K, *size], targets [B, 1, *size] for one class, class indices [B, *size] for several.
        """
        labeled = target != IGNORE
        if labeled.all():
            return self.loss(logits, target)
        per_pixel = target.dim() == logits.dim()
        pixels = logits.movedim(1, -1)[labeled.squeeze(1) if per_pixel else labeled]  # [N, K]
        if not len(pixels):
            return pixels.sum()
        column = pixels.T[None, :, :, None]
        return self.loss(column, target[labeled].view(1, 1, -1, 1) if per_pixel else target[labeled].view(1, -1, 1))
