"""Labelled volumes alone: the baseline that learning from unlabelled ones must beat."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor, nn

from fovea.models.by_modality import network_of
from fovea.supervision.mode import Mode
from fovea.supervision.two_streams import predict_first, stream, supervised_loss


class LabeledOnly(Mode):
    """A network of several modalities, trained on labelled volumes; no unlabelled one is read.

    Args:
        backbone: Factory of a `fovea.models.by_modality.ByModality`, called once.
        loss: Takes logits [B, K, D, H, W] and labels [B, D, H, W].

    Raises:
        ValueError: the network is of another kind.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"mask"})

    def __init__(self, backbone: Callable[[], nn.Module], loss: nn.Module) -> None:
        super().__init__()
        self.network = network_of(backbone)
        self.loss = loss

    def losses(self, batch: Mapping[str, Any], progress: float) -> dict[str, Tensor]:
        """The mean over modalities of the loss on the labelled stream."""
        labeled = stream(batch, "labeled")
        return {"loss": supervised_loss(self.loss, self.network(labeled["image"]).logits, labeled["mask"])}

    def forward(self, image: Mapping[str, Tensor], size: Sequence[int]) -> dict[str, Tensor]:
        """Probabilities [B, K, *size] of the first modality of `image`; see `two_streams.predict_first`."""
        return predict_first(self.network, image, size)
