"""Cross-modality collaboration: few labeled pairs of modalities, many unlabeled ones."""

from collections.abc import Callable
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from fovea.losses.cross_modality import overlap_consistency, prototype_consistency, semantic_consistency
from fovea.models.by_modality import ByModality, Outputs
from fovea.runtime.bounds import NonNegative, Positive, Progress
from fovea.supervision.batch import Batch
from fovea.supervision.modalities import supervised_loss
from fovea.supervision.mode import Mode
from fovea.supervision.ramps import ramp_down, ramp_up


class CrossModality(Mode):
    """One network of several modalities, kept consistent across them on unlabeled volumes.

    The supervised loss is the mean over the modalities of labeled volumes. From `start` on, two terms of unlabeled
    volumes are added: equal channels have equal meaning in every modality, with a weight that ramps up; structures
    agree, with a weight that ramps down. Zhou et al., "Robust Semi-Supervised Multimodal Medical Image Segmentation via
    Cross Modality Collaboration", MICCAI 2024. `configs/supervision/cmc.yaml` describes the arguments. A ValueError if
    the network has no features of several modalities.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"mask", "unlabeled"})
    serves: ClassVar[frozenset[str]] = frozenset({"volumes"})

    def __init__(
        self,
        backbone: Callable[[], nn.Module],
        loss: nn.Module,
        channel_weight: NonNegative,
        anatomical_weight: NonNegative,
        anatomical: Literal["prototype", "overlap"],
        start: Progress,
        side: Annotated[int, Field(strict=True, ge=2)],
        temperature: Positive,
    ) -> None:
        super().__init__()
        network = backbone()
        if not isinstance(network, ByModality) or not network.separate or len(network.modalities) < 2:
            fix = "choose backbone=cross_modality, or supervision=labeled_only"
            raise ValueError(f"backbone: {type(network).__name__} has no features of several modalities; {fix}")
        if network.classes < 2:
            raise ValueError("CMC compares the background too; set data.classes=2 for one structure")
        self.network, self.loss = network, loss
        self.weights = {"channel": channel_weight, "anatomical": anatomical_weight}
        self.anatomical, self.start = anatomical, start
        self.side, self.temperature = side, temperature

    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Return `supervised` on labeled volumes, `channel` and `anatomical` on unlabeled ones (0 before the start)."""
        labeled = batch["labeled"]
        supervised = supervised_loss(self.loss, self.network(labeled["image"]).logits, labeled["mask"])
        terms = {"supervised": supervised}
        if progress < self.start:
            zero = supervised.new_zeros(())
            return {"loss": supervised} | terms | {"channel": zero, "anatomical": zero}
        terms |= self.consistency(self.network(batch["unlabeled"]["image"]))
        up, down = self.weights["channel"] * ramp_up(progress), self.weights["anatomical"] * ramp_down(progress)
        return {"loss": supervised + up * terms["channel"] + down * terms["anatomical"]} | terms

    def consistency(self, outputs: Outputs) -> dict[str, Tensor]:
        """Return the two terms of unlabeled volumes, unweighted, from the outputs of the network."""
        features = list(outputs.features.values())
        classes = [logits.softmax(dim=1) for logits in outputs.logits.values()]
        if self.anatomical == "overlap":
            anatomical = overlap_consistency(classes)
        else:
            anatomical = prototype_consistency(features, classes, self.temperature)
        return {"channel": semantic_consistency(features, self.side, self.temperature), "anatomical": anatomical}
