"""Full supervision: one network, trained on masks."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor, nn

from fovea.supervision.mode import Mode
from fovea.supervision.reading import probabilities


class Full(Mode):
    """One network trained on masks; the upper bound that cheaper labels are measured against.

    Args:
        backbone: Factory of the network, called once.
        loss: Takes logits [B, K, H, W] and the mask of the batch.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"mask"})

    def __init__(self, backbone: Callable[[], nn.Module], loss: nn.Module) -> None:
        super().__init__()
        self.network = backbone()
        self.loss = loss

    def losses(self, batch: Mapping[str, Any], progress: float) -> dict[str, Tensor]:
        """The loss on `image` [B, C, H, W] and `mask` ([B, 1, H, W] of 0 and 1 for one class)."""
        supervised = self.loss(self.network(batch["image"]), batch["mask"])
        return {"loss": supervised, "supervised": supervised}

    def forward(self, image: Tensor, size: Sequence[int]) -> dict[str, Tensor]:
        """Probabilities [B, K, *size] of an image [B, C, H, W]."""
        return {"prediction": probabilities(self.network(image), size)}
