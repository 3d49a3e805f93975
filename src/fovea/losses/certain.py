"""A loss on the pixels whose target is known."""

from collections.abc import Callable

from torch import Tensor


def on_certain(loss: Callable[[Tensor, Tensor], Tensor], logits: Tensor, target: Tensor, certain: Tensor) -> Tensor:
    """The loss on the certain pixels alone: the others take part neither in its sums nor in its means.

    With cross-entropy this is the partial cross-entropy of Tang et al., "Normalized Cut Loss for Weakly-Supervised CNN
    Segmentation", CVPR 2018. The certain pixels of the batch are handed on as one column, so that any loss will do
    that looks at pixels one by one or sums over the batch; one that goes image by image then sees a single image.

    Args:
        loss: Takes logits and targets [1, 1, N, 1] of N pixels.
        logits: [B, 1, H, W].
        target: [B, 1, H, W] of 0 and 1; its values at the other pixels do not matter.
        certain: [B, 1, H, W] of bool.

    Returns:
        A scalar; without a certain pixel 0, with a gradient of zeros.
    """
    chosen = logits[certain]
    if not len(chosen):
        return chosen.sum()
    return loss(chosen.view(1, 1, -1, 1), target[certain].view(1, 1, -1, 1))
