"""Cross pseudo supervision: two networks label for each other."""

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fovea.losses.precision import single
from fovea.runtime.bounds import NonNegative
from fovea.supervision.batch import Batch, Image
from fovea.supervision.modalities import logits_of, predict, supervised_loss
from fovea.supervision.mode import Mode
from fovea.supervision.ramps import ramp_up


class CrossPseudo(Mode):
    """Two networks with different initial weights; each learns from the labels and from the other's predictions.

    The cross-entropy with the hard pseudo-labels of the other network is computed on both streams. Its weight ramps up.
    The first network predicts. Chen et al., "Semi-Supervised Semantic Segmentation with Cross Pseudo Supervision",
    CVPR 2021, which has no ramp.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"mask", "unlabeled"})

    def __init__(self, backbone: Callable[[], nn.Module], loss: nn.Module, weight: NonNegative) -> None:
        super().__init__()
        self.networks = nn.ModuleList([backbone(), backbone()])
        self.loss, self.weight = loss, weight

    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Return `supervised` on the labeled stream and `pseudo` on both streams, summed over the networks."""
        labeled, image = batch["labeled"], batch["unlabeled"]["image"]
        on_labeled = [logits_of(network, labeled["image"]) for network in self.networks]
        supervised = torch.stack([supervised_loss(self.loss, logits, labeled["mask"]) for logits in on_labeled]).sum()
        on_unlabeled = [logits_of(network, image) for network in self.networks]
        pseudo = (crossed(*on_labeled) + crossed(*on_unlabeled)) / 2
        loss = supervised + self.weight * ramp_up(progress) * pseudo
        return {"loss": loss, "supervised": supervised, "pseudo": pseudo}

    def forward(self, image: Image, size: Sequence[int]) -> dict[str, Tensor]:
        """Return the probabilities of the first network."""
        return predict(self.networks[0], image, size)


def crossed(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> Tensor:
    """Return the sum of both networks' cross-entropy with the other's pseudo-labels; its mean over modalities.

    Both have logits [B, K, *size] by modality.
    """
    pairs = [(first[name], second[name]) for name in first]
    return torch.stack([_cross_entropy(a, b) + _cross_entropy(b, a) for a, b in pairs]).mean()


def _cross_entropy(logits: Tensor, other: Tensor) -> Tensor:
    """Return the cross-entropy of logits with the most probable class of the other logits, 0.5 the limit for one."""
    logits = single(logits)
    if logits.shape[1] == 1:
        return F.binary_cross_entropy_with_logits(logits, (other > 0).to(logits.dtype))
    return F.cross_entropy(logits, other.argmax(dim=1))
