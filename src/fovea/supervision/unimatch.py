"""UniMatch: confident labels of a weak view, for strong views and for a view without half of the features."""

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fovea.losses.ignore import IGNORE, IgnoreLabel
from fovea.models.backbone import Backbone
from fovea.models.by_modality import ByModality
from fovea.runtime.bounds import Fraction, NonNegative, Progress
from fovea.supervision.batch import Batch, Image
from fovea.supervision.mean_teacher import averaged
from fovea.supervision.modalities import UNNAMED, logits_of, predict, supervised_loss
from fovea.supervision.mode import Mode
from fovea.supervision.outputs import confident
from fovea.supervision.views import cut_mix


class UniMatch(Mode):
    """A network labels unlabeled cases for itself, where it is confident, and learns the labels on changed views.

    The labels are of the case as it is loaded, the weak view. Two strong views with boxes of other cases learn them,
    and so does the weak view with features dropped. Yang et al., "Revisiting Weak-to-Strong Consistency in
    Semi-Supervised Semantic Segmentation", CVPR 2023. With a `decay` above 0, the moving average of the network gives
    the labels and predicts, as in Yang et al., "UniMatch V2", TPAMI 2025.

    The features are those of the encoder; of a `Backbone`, which reads images, those of the decoder. A network without
    either has no such view, and the strong views have the whole weight. `configs/supervision/unimatch.yaml` describes
    the arguments.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"mask", "unlabeled"})

    def __init__(
        self,
        backbone: Callable[[], nn.Module],
        loss: nn.Module,
        view: nn.Module,
        cutmix: Fraction,
        across: bool,
        confidence: Progress,
        dropped: Progress,
        weight: NonNegative,
        start: Progress,
        decay: Progress,
    ) -> None:
        super().__init__()
        self.network = backbone()
        self.average = averaged(self.network, decay) if decay else None
        self.loss = IgnoreLabel(loss)
        self.view, self.cutmix, self.across = view, cutmix, across
        self.confidence, self.dropped, self.weight, self.start = confidence, dropped, weight, start

    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Return `supervised` on labeled cases, `strong` and `features` on unlabeled ones, and the labeled part.

        Before the start, the last three are 0.
        """
        labeled, image = batch["labeled"], batch["unlabeled"]["image"]
        supervised = supervised_loss(self.loss, logits_of(self.network, labeled["image"]), labeled["mask"])
        if progress < self.start:
            return {"loss": supervised / 2, "supervised": supervised} | dict.fromkeys(
                ("strong", "features", "taught"), supervised.new_zeros(())
            )
        weak, without = self._weak(image)
        taught = {name: confident(logits, self.confidence) for name, logits in weak.items()}
        views = []
        for _ in range(2):
            paste = cut_mix(image, self.cutmix, self.across)
            strong = logits_of(self.network, paste(self.view(image)))
            views.append(supervised_loss(self.loss, strong, paste(taught)))
        terms = {"strong": torch.stack(views).mean()}
        if without:
            terms["features"] = supervised_loss(self.loss, without, taught)
        share = (torch.stack([*taught.values()]) != IGNORE).float().mean()
        consistency = share * torch.stack([*terms.values()]).mean()  # the paper divides by the number of all pixels
        loss = (supervised + self.weight * consistency) / 2
        return {"loss": loss, "supervised": supervised} | terms | {"taught": share}

    def _weak(self, image: Image) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the logits of the image by modality, and those without a part of the features, if there are any."""
        if isinstance(self.network, ByModality):
            without = self.network(cast("Mapping[str, Tensor]", image), dropped=self.dropped).logits
        elif hasattr(self.network, "features"):
            network = cast("Backbone", self.network)
            features = network.features(cast("Tensor", image))
            without = {UNNAMED: network.classify(F.dropout2d(features, self.dropped))}
            if not self.average:
                with torch.no_grad():
                    return {UNNAMED: network.classify(features)}, without
        else:
            without = {}
        with torch.no_grad():
            return logits_of(self.average or self.network, image), without

    def forward(self, image: Image, size: Sequence[int]) -> dict[str, Tensor]:
        """Return the probabilities of the average, or of the network."""
        return predict(self.average or self.network, image, size)

    def after_step(self, progress: float) -> None:
        """Update the average."""
        if self.average:
            self.average.update_parameters(self.network)
