"""Deep supervision: the coarser scales of a decoder are trained on the same target."""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from fovea.models.backbone import Backbone
from fovea.supervision.outputs import resize


class Deep(nn.Module):
    """The loss of a network's logits, and with a weight the mean loss of those of its decoder's coarser scales.

    Each scale has a 1x1 convolution of its own, whose logits are enlarged to the target; training alone uses them.
    Lee et al., "Deeply-Supervised Nets", AISTATS 2015; Xie and Tu, "Holistically-Nested Edge Detection", ICCV 2015.

    Args:
        network: A backbone that has coarser scales, or with `weight` 0 any network. It stays the mode's own.
        weight: Weight of the mean loss of the coarser scales; 0 leaves them out, and there is nothing to train here.

    Raises:
        ValueError: the weight is negative, or the network has no coarser scales.
    """

    def __init__(self, network: nn.Module, weight: float) -> None:
        super().__init__()
        if weight < 0:
            raise ValueError(f"supervision.deep={weight} is no weight; give 0 or more")
        self.weight = weight
        self.heads = nn.ModuleList()
        if weight:
            backbone = cast("Backbone", network)
            self.heads.extend(nn.Conv2d(width, backbone.classes, kernel_size=1) for _, width in backbone.coarser())

    def losses(self, network: nn.Module, image: Tensor, loss: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
        """`loss`, and its terms `supervised` and, with a weight, `deep`.

        Args:
            network: The network that this was made for.
            image: [B, C, H, W].
            loss: Takes logits [B, K, H, W].
        """
        if not self.weight:
            supervised = loss(network(image))
            return {"loss": supervised, "supervised": supervised}
        backbone = cast("Backbone", network)
        features, coarser = backbone.scales(image)
        supervised = loss(backbone.classify(features))
        enlarged = [resize(head(scale), image.shape[2:]) for head, scale in zip(self.heads, coarser, strict=True)]
        deep = torch.stack([loss(logits) for logits in enlarged]).mean()
        return {"loss": supervised + self.weight * deep, "supervised": supervised, "deep": deep}
