"""Full supervision: one network, trained on masks."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor, nn

from fovea.supervision.deep import Deep
from fovea.supervision.mode import Mode
from fovea.supervision.outputs import probabilities


class Full(Mode):
    """One network trained on masks; the upper bound that cheaper labels are measured against.

    Args:
        backbone: Factory of the network, called once.
        loss: Takes logits [B, K, H, W] and the mask of the batch.
        deep: Weight of the loss of the decoder's coarser scales, for backbones that have some; 0 for none.

    Raises:
        ValueError: see `fovea.supervision.deep.Deep`.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"mask"})

    def __init__(self, backbone: Callable[[], nn.Module], loss: nn.Module, deep: float = 0.0) -> None:
        super().__init__()
        self.network = backbone()
        self.loss = loss
        self.deep = Deep(self.network, deep)

    def losses(self, batch: Mapping[str, Any], progress: float) -> dict[str, Tensor]:
        """The loss on `image` [B, C, H, W] and `mask` ([B, 1, H, W] of 0 and 1 for one class)."""
        return self.deep.losses(self.network, batch["image"], lambda logits: self.loss(logits, batch["mask"]))

    def forward(self, image: Tensor, size: Sequence[int]) -> dict[str, Tensor]:
        """Probabilities [B, K, *size] of an image [B, C, H, W]."""
        return {"prediction": probabilities(self.network(image), size)}
