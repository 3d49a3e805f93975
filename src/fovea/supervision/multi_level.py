"""Multi-level gaze supervision with cross-level consistency (GazeMedSeg)."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Literal, cast

import torch
from torch import Tensor, nn

from fovea.losses.consistency import cross_level_consistency
from fovea.models.backbone import Backbone
from fovea.models.propagation import propagate
from fovea.supervision.agreement import Agreement
from fovea.supervision.mode import Mode
from fovea.supervision.outputs import activate, resize
from fovea.supervision.thresholds import Thresholds

CHOICES = {
    "consistency": ("prop", "pure", "none"),
    "init": ("independent", "copied"),
    "ensemble": ("logits", "probabilities", "quality"),
}


class Gaze(Mode):
    """One network a level; each learns the pseudo-mask at its own threshold, and they are kept consistent.

    A strict level sees few false lesions, a lax one misses few; what they agree on is what the gaze meant.
    Zhong et al., "Weakly-supervised Medical Image Segmentation with Gaze Annotations", MICCAI 2024.

    Args:
        backbone: Factory of a network with `features` and `classify`, called once for each level.
        loss: Takes logits [B, 1, H, W] and a pseudo-mask [B, 1, H, W] of 0 and 1.
        thresholds: The level k is `pseudo >= thresholds[k]`; their number is the number of levels. A pair `[low, high]`
            is a range that each batch draws from.
        consistency: What a level compares with its peers: `prop`, logits of propagated features; `pure`, its
            logits; `none`.
        weight: Weight of the consistency of each level against its loss; 3 is published.
        init: `independent` networks (the paper) or `copied` from the first (the release).
        ensemble: The prediction is the mean of the levels' `logits` (published), which one collapsed level takes with
            it; of their `probabilities`, which it lowers by its share (of two levels the mask stays that of `logits`);
            or `quality`, the mean of probabilities weighted by how well each level has learnt its own pseudo-mask: a
            collapsed one counts 0.
        window: Steps that `quality` and the warning of a collapse look back on.
        kernel_size: Side of the window of the propagation.
        dilation: Distance of neighbours in that window.
        similarity: `dot` (the release) or `cosine` (the paper).

    Raises:
        ValueError: no threshold, one outside (0, 1], no window, or an unknown choice.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"pseudo"})

    def __init__(
        self,
        backbone: Callable[[], Backbone],
        loss: nn.Module,
        thresholds: Sequence[float | Sequence[float]],
        consistency: Literal["prop", "pure", "none"] = "prop",
        weight: float = 3.0,
        init: Literal["independent", "copied"] = "independent",
        ensemble: Literal["logits", "probabilities", "quality"] = "logits",
        window: int = 100,
        kernel_size: int = 5,
        dilation: int = 2,
        similarity: Literal["dot", "cosine"] = "dot",
    ) -> None:
        super().__init__()
        for key, value in {"consistency": consistency, "init": init, "ensemble": ensemble}.items():
            if value not in CHOICES[key]:
                raise ValueError(f"supervision.{key}={value} is not a choice; choose {', '.join(CHOICES[key])}")
        if window < 1:
            raise ValueError(f"supervision.window={window} is no number of steps; give 1 or more")
        self.thresholds = Thresholds(thresholds)
        self.levels = nn.ModuleList([backbone() for _ in thresholds])
        if init == "copied":
            for level in self.levels[1:]:
                level.load_state_dict(self.levels[0].state_dict())
        self.loss = loss
        self.consistency = consistency if len(self.levels) > 1 and weight else "none"
        self.weight = weight
        self.ensemble = ensemble
        self.agreement = Agreement(len(self.levels), window)
        self.propagate = partial(propagate, kernel_size=kernel_size, dilation=dilation, similarity=similarity)

    @property
    def networks(self) -> list[Backbone]:
        """The levels' networks, in the order of the thresholds."""
        return cast("list[Backbone]", list(self.levels))

    def losses(self, batch: Mapping[str, Any], progress: float) -> dict[str, Tensor]:
        """The levels' losses and consistencies on `image` [B, C, H, W] and the map `pseudo` [B, 1, H, W] in [0, 1].

        `agreement_k` is the Dice of level k with its own pseudo-mask in the last `window` steps.
        """
        image, pseudo = batch["image"], batch["pseudo"]
        features = [level.features(image) for level in self.networks]
        logits = [level.classify(feature) for level, feature in zip(self.networks, features, strict=True)]
        targets = [(pseudo >= t).to(logits[0].dtype) for t in self.thresholds.draw()]
        supervised = torch.stack([self.loss(z, target) for z, target in zip(logits, targets, strict=True)])
        self.agreement.update(torch.stack(logits), torch.stack(targets))
        terms = {f"supervised_{k}": value for k, value in enumerate(supervised, 1)}
        terms |= {f"agreement_{k}": value for k, value in enumerate(self.agreement.dice(), 1)}
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
        levels = [activate(z) for z in logits]
        if self.ensemble == "logits":
            prediction = activate(torch.stack(logits).mean(dim=0))
        elif self.ensemble == "probabilities":
            prediction = torch.stack(levels).mean(dim=0)
        else:
            weights = self.agreement.weights().to(levels[0].dtype)
            prediction = torch.tensordot(weights, torch.stack(levels), dims=1).clamp(max=1)  # rounding apart, it is
        return {"prediction": prediction} | {f"level_{k}": level for k, level in enumerate(levels, 1)}

    def after_step(self, progress: float) -> None:
        """Warn, once for each collapse, of a level that has come to predict next to nothing."""
        names = [f"level {k} (threshold {given})" for k, given in enumerate(self.thresholds.given, 1)]
        robust = len(self.levels) > 1 and self.ensemble != "quality"
        choices = "supervision.ensemble=quality keeps it out of the prediction; " if robust else ""
        self.agreement.after_step(
            names, f"{choices}if it lasts, lower its threshold or check the gaze (quality=labels)"
        )
