"""Multi-level gaze supervision with cross-level consistency (GazeMedSeg)."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Literal, cast

import torch
from torch import Tensor, nn

from fovea.losses.consistency import cross_level_consistency
from fovea.models.backbone import Backbone
from fovea.models.propagation import propagate
from fovea.runtime.errors import FoveaError
from fovea.supervision.mode import Mode
from fovea.supervision.reading import activate, probabilities, resize

CHOICES = {
    "consistency": ("prop", "pure", "none"),
    "init": ("independent", "copied"),
    "ensemble": ("logits", "probabilities"),
}


class Gaze(Mode):
    """One network a level; each learns the pseudo-mask at its own threshold, and they are kept consistent.

    A strict level sees few false lesions, a lax one misses few; what they agree on is what the gaze meant.
    Zhong et al., "Weakly-supervised Medical Image Segmentation with Gaze Annotations", MICCAI 2024.

    Args:
        backbone: Factory of a network with `features` and `classify`, called once for each level.
        loss: Takes logits [B, 1, H, W] and a pseudo-mask [B, 1, H, W] of 0 and 1.
        thresholds: The level k is `pseudo >= thresholds[k]`; their number is the number of levels.
        consistency: What a level compares with its peers: `prop`, logits of propagated features; `pure`, its
            logits; `none`.
        weight: Weight of the consistency of each level against its loss; 3 is published.
        init: `independent` networks (the paper) or `copied` from the first (the release).
        ensemble: The prediction is the mean of the levels' `logits` (published) or of their `probabilities`,
            which one collapsed level cannot take with it.
        kernel_size: Side of the window of the propagation.
        dilation: Distance of neighbours in that window.
        similarity: `dot` (the release) or `cosine` (the paper).

    Raises:
        FoveaError: no threshold, one outside (0, 1], or an unknown choice.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"pseudo"})

    def __init__(
        self,
        backbone: Callable[[], Backbone],
        loss: nn.Module,
        thresholds: Sequence[float],
        consistency: Literal["prop", "pure", "none"] = "prop",
        weight: float = 3.0,
        init: Literal["independent", "copied"] = "independent",
        ensemble: Literal["logits", "probabilities"] = "logits",
        kernel_size: int = 5,
        dilation: int = 2,
        similarity: Literal["dot", "cosine"] = "dot",
    ) -> None:
        super().__init__()
        for key, value in {"consistency": consistency, "init": init, "ensemble": ensemble}.items():
            if value not in CHOICES[key]:
                raise FoveaError(f"supervision.{key}={value} is not a choice; choose {', '.join(CHOICES[key])}")
        if not thresholds or not all(0 < threshold <= 1 for threshold in thresholds):
            raise FoveaError(f"supervision.thresholds={list(thresholds)}: give one or more numbers in (0, 1]")
        self.levels = nn.ModuleList([backbone() for _ in thresholds])
        if init == "copied":
            for level in self.levels[1:]:
                level.load_state_dict(self.levels[0].state_dict())
        self.loss = loss
        self.thresholds = list(thresholds)
        self.consistency = consistency if len(self.levels) > 1 and weight else "none"
        self.weight = weight
        self.ensemble = ensemble
        self.propagate = partial(propagate, kernel_size=kernel_size, dilation=dilation, similarity=similarity)

    @property
    def networks(self) -> list[Backbone]:
        """The levels' networks, in the order of the thresholds."""
        return cast("list[Backbone]", list(self.levels))

    def losses(self, batch: Mapping[str, Any], progress: float) -> dict[str, Tensor]:
        """The levels' losses and consistencies on `image` [B, C, H, W] and the map `pseudo` [B, 1, H, W] in [0, 1]."""
        image, pseudo = batch["image"], batch["pseudo"]
        features = [level.features(image) for level in self.networks]
        logits = [level.classify(feature) for level, feature in zip(self.networks, features, strict=True)]
        supervised = torch.stack(
            [self.loss(z, (pseudo >= t).to(z.dtype)) for z, t in zip(logits, self.thresholds, strict=True)]
        )
        terms = {f"supervised_{k}": value for k, value in enumerate(supervised, 1)}
        total = supervised.sum()
        if self.consistency != "none":
            consistent = self._consistency(features, logits)
            terms |= {f"consistency_{k}": value for k, value in enumerate(consistent, 1)}
            total = total + self.weight * consistent.sum()
        return {"loss": total, **terms}

    def _consistency(self, features: Sequence[Tensor], logits: Sequence[Tensor]) -> Tensor:
        if self.consistency == "pure":
            return cross_level_consistency(torch.stack(list(logits)), torch.stack(list(logits)))
        propagated = [
            resize(level.classify(self.propagate(feature)), z.shape[2:])
            for level, feature, z in zip(self.networks, features, logits, strict=True)
        ]
        return cross_level_consistency(torch.stack(propagated), torch.stack(list(logits)))

    def forward(self, image: Tensor, size: Sequence[int]) -> dict[str, Tensor]:
        """Probabilities [B, K, *size] of an image [B, C, H, W]: the ensemble's, and each level's."""
        logits = [resize(level(image), size) for level in self.networks]
        if self.ensemble == "logits":
            prediction = activate(torch.stack(logits).mean(dim=0))
        else:
            prediction = torch.stack([activate(z) for z in logits]).mean(dim=0)
        return {"prediction": prediction} | {f"level_{k}": probabilities(z, size) for k, z in enumerate(logits, 1)}
