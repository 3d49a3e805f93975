"""Cross pseudo supervision: two networks label for each other."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fovea.models.by_modality import network_of
from fovea.supervision.mode import Mode
from fovea.supervision.ramps import ramp_up
from fovea.supervision.two_streams import predict_first, stream, supervised_loss


class CrossPseudo(Mode):
    """Two networks that begin apart, each trained on the labels and on what the other predicts.

    The cross-entropy with the other's likeliest class is taken on both streams, its weight ramps up. The first network
    predicts. Chen et al., "Semi-Supervised Semantic Segmentation with Cross Pseudo Supervision", CVPR 2021 (without the
    ramp).

    Args:
        backbone: Factory of a `fovea.models.by_modality.ByModality`, called twice.
        loss: Takes logits [B, K, D, H, W] and labels [B, D, H, W].
        weight: Of the cross pseudo supervision, times its ramp.

    Raises:
        ValueError: the weight is negative, or the network is of another kind.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"mask", "unlabeled"})

    def __init__(self, backbone: Callable[[], nn.Module], loss: nn.Module, weight: float) -> None:
        super().__init__()
        if weight < 0:
            raise ValueError(f"supervision.weight={weight} is no weight; give 0 or more")
        self.networks = nn.ModuleList([network_of(backbone), network_of(backbone)])
        self.loss = loss
        self.weight = weight

    def losses(self, batch: Mapping[str, Any], progress: float) -> dict[str, Tensor]:
        """`supervised` on the labelled stream, the sum of both networks'; `pseudo` on both streams, likewise."""
        labeled, unlabeled = stream(batch, "labeled"), stream(batch, "unlabeled")["image"]
        known = [network(labeled["image"]).logits for network in self.networks]
        supervised = torch.stack([supervised_loss(self.loss, logits, labeled["mask"]) for logits in known]).sum()
        unknown = [network(unlabeled).logits for network in self.networks]
        pseudo = (crossed(*known) + crossed(*unknown)) / 2
        loss = supervised + self.weight * ramp_up(progress) * pseudo
        return {"loss": loss, "supervised": supervised, "pseudo": pseudo}

    def forward(self, image: Mapping[str, Tensor], size: Sequence[int]) -> dict[str, Tensor]:
        """The first network's probabilities [B, K, *size] of the first modality; see `two_streams.predict_first`."""
        return predict_first(self.networks[0], image, size)


def crossed(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> Tensor:
    """The cross-entropy of each network's logits [B, K, D, H, W] with the other's likeliest classes, both added.

    Args:
        first: Logits by modality; the mean over these is taken.
        second: The same of the other network.
    """
    pairs = [(first[name], second[name]) for name in first]
    return torch.stack([F.cross_entropy(a, b.argmax(1)) + F.cross_entropy(b, a.argmax(1)) for a, b in pairs]).mean()
