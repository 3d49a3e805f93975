"""Cross-modality collaboration: few labelled pairs of modalities, many unlabelled ones."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor, nn

from fovea.losses.anatomical_consistency import overlap_consistency, prototype_consistency
from fovea.losses.semantic_consistency import semantic_consistency
from fovea.models.by_modality import Outputs, network_of
from fovea.supervision.mode import Mode
from fovea.supervision.ramps import ramp_down, ramp_up
from fovea.supervision.two_streams import predict_first, stream, supervised_loss


class CrossModality(Mode):
    """One network of several modalities, kept consistent across them where there are no labels.

    Supervised on labelled volumes, the mean over modalities. From `start` on, on unlabelled volumes and with gradient,
    channels that mean the same in every modality, with a weight that ramps up, and structures that agree, with one that
    ramps down. Zhou et al., "Robust Semi-Supervised Multimodal Medical Image Segmentation via Cross Modality
    Collaboration", MICCAI 2024.

    Args:
        backbone: Factory of a `fovea.models.by_modality.ByModality`, called once.
        loss: Takes logits [B, K, D, H, W] and labels [B, D, H, W].
        channel_weight: Of the channel-wise semantic consistency, times its ramp.
        anatomical_weight: Of the anatomical consistency, times its ramp.
        anatomical: `prototype`, indifferent to how volumes lie to each other, or `overlap`, for aligned ones.
        start: The part of training after which the unlabelled terms set in, in [0, 1).
        side: Cells of a channel's descriptor along each axis.
        temperature: Of the contrasts.

    Raises:
        ValueError: an argument makes no sense, or the network is of another kind.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"mask", "unlabeled"})

    def __init__(
        self,
        backbone: Callable[[], nn.Module],
        loss: nn.Module,
        channel_weight: float = 1.0,
        anatomical_weight: float = 1.0,
        anatomical: str = "prototype",
        start: float = 0.7,
        side: int = 4,
        temperature: float = 0.5,
    ) -> None:
        super().__init__()
        _check(channel_weight, anatomical_weight, anatomical, start, side, temperature)
        self.network = network_of(backbone)
        self.loss = loss
        self.weights = {"channel": channel_weight, "anatomical": anatomical_weight}
        if not (self.network.separate and len(self.network.modalities) > 1):
            raise ValueError(
                "supervision: this backbone has not features of several modalities to compare; choose "
                "backbone=cross_modality, or supervision=labeled_only"
            )
        self.anatomical = anatomical
        self.start = start
        self.side = side
        self.temperature = temperature

    def losses(self, batch: Mapping[str, Any], progress: float) -> dict[str, Tensor]:
        """`supervised` on the labelled stream; `channel` and `anatomical` on the unlabelled one, 0 before the start."""
        labeled = stream(batch, "labeled")
        supervised = supervised_loss(self.loss, self.network(labeled["image"]).logits, labeled["mask"])
        terms = {"supervised": supervised}
        image = stream(batch, "unlabeled")["image"]
        if progress < self.start:
            nothing = supervised.new_zeros(())
            return {"loss": supervised} | terms | {"channel": nothing, "anatomical": nothing}
        terms |= self.consistency(self.network(image))
        up, down = (self.weights[name] * ramp for name, ramp in self.ramps(progress).items())
        return {"loss": supervised + up * terms["channel"] + down * terms["anatomical"]} | terms

    def consistency(self, seen: Outputs) -> dict[str, Tensor]:
        """The two terms of unlabelled volumes, unweighted, from what the network says of them."""
        features = list(seen.features.values())
        classes = [logits.softmax(dim=1) for logits in seen.logits.values()]
        channel = semantic_consistency(features, self.side, self.temperature)
        if self.anatomical == "overlap":
            return {"channel": channel, "anatomical": overlap_consistency(classes)}
        return {"channel": channel, "anatomical": prototype_consistency(features, classes, self.temperature)}

    def ramps(self, progress: float) -> dict[str, float]:
        """The part of its weight that each unlabelled term has."""
        if progress < self.start:
            return {"channel": 0.0, "anatomical": 0.0}
        return {"channel": ramp_up(progress), "anatomical": ramp_down(progress)}

    def forward(self, image: Mapping[str, Tensor], size: Sequence[int]) -> dict[str, Tensor]:
        """Probabilities [B, K, *size] of the first modality of `image`; see `two_streams.predict_first`."""
        return predict_first(self.network, image, size)


def _check(channel: float, anatomical: float, form: str, start: float, side: int, temperature: float) -> None:
    """Refuse values that would show late, or not at all."""
    if channel < 0 or anatomical < 0:
        raise ValueError(f"supervision: weights of {channel} and {anatomical}; give 0 or more")
    if form not in ("prototype", "overlap"):
        raise ValueError(f"supervision.anatomical={form} is unknown; choose prototype or overlap")
    if not 0 <= start < 1:
        raise ValueError(f"supervision.start={start} is no part of the training; give 0 or more, below 1")
    if side < 2 or temperature <= 0:
        raise ValueError(
            f"supervision.side={side}, supervision.temperature={temperature}: give a side of 2 or more and a "
            "temperature above 0"
        )
