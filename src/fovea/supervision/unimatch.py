"""UniMatch: confident labels of a weak view, for strong views and for a view without half of the features."""

from collections.abc import Callable
from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fovea.losses.ignore import IGNORE, IgnoreLabel
from fovea.models.backbone import Backbone
from fovea.runtime.bounds import Fraction, NonNegative, Progress
from fovea.supervision.batch import Batch, Image
from fovea.supervision.modalities import UNNAMED, apply, logits_of, supervised_loss
from fovea.supervision.mode import Mode
from fovea.supervision.outputs import confident
from fovea.supervision.views import cut_mix


class UniMatch(Mode):
    """One network labels unlabeled cases for itself, where it is confident, and learns the labels on changed views.

    There is no teacher: the labels are of the case as it is loaded, the weak view. Two strong views with boxes of other
    cases learn them, and so does the weak view with features dropped. Yang et al., "Revisiting Weak-to-Strong
    Consistency in Semi-Supervised Semantic Segmentation", CVPR 2023. There, the features are those of the encoder;
    here, those of the decoder, of a backbone that has `features`. Without them, the strong views have the whole weight.
    There, a loss is divided by the number of all pixels; here, by that of the confident ones.

    Args:
        view: Makes a strong view.
        cutmix: The largest part of an image that a box covers; 0 is none.
        confidence: A label counts where its probability is above.
        dropped: The part of the channels of the features that are dropped.
        weight: Of all views together, against 1 for the labeled cases; the sum is halved.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"mask", "unlabeled"})
    serves: ClassVar[frozenset[str]] = frozenset({"images", "volumes"})

    def __init__(
        self,
        backbone: Callable[[], nn.Module],
        loss: nn.Module,
        view: nn.Module,
        cutmix: Fraction,
        confidence: Progress,
        dropped: Progress,
        weight: NonNegative,
    ) -> None:
        super().__init__()
        self.network = backbone()
        self.loss = IgnoreLabel(loss)
        self.view, self.cutmix = view, cutmix
        self.confidence, self.dropped, self.weight = confidence, dropped, weight

    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Return `supervised` on labeled cases, `strong` and `features` on unlabeled ones, and the labeled part."""
        labeled, image = batch["labeled"], batch["unlabeled"]["image"]
        supervised = supervised_loss(self.loss, logits_of(self.network, labeled["image"]), labeled["mask"])
        weak, without = self._weak(image)
        taught = {name: confident(logits.detach(), self.confidence) for name, logits in weak.items()}
        views = []
        for _ in range(2):
            paste = cut_mix(image, self.cutmix)
            strong = logits_of(self.network, apply(paste, self.view(image)))
            views.append(supervised_loss(self.loss, strong, {name: paste(label) for name, label in taught.items()}))
        terms = {"strong": torch.stack(views).mean()}
        if without:
            terms["features"] = supervised_loss(self.loss, without, taught)
        consistency = torch.stack([*terms.values()]).mean()
        share = (torch.stack([*taught.values()]) != IGNORE).float().mean()
        loss = (supervised + self.weight * consistency) / 2
        return {"loss": loss, "supervised": supervised} | terms | {"taught": share}

    def _weak(self, image: Image) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the logits of the image by modality, and those without a part of the features, if there are any."""
        if not isinstance(image, Tensor) or not hasattr(self.network, "features"):
            with torch.no_grad():
                return logits_of(self.network, image), {}
        network = cast("Backbone", self.network)
        features = network.features(image)
        with torch.no_grad():
            logits = network.classify(features)
        return {UNNAMED: logits}, {UNNAMED: network.classify(F.dropout2d(features, self.dropped))}
