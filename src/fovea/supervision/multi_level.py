"""Multi-level supervision with cross-level consistency (GazeMedSeg)."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar, Literal, cast

import torch
from torch import Tensor, nn

from fovea.losses.consistency import cross_level_consistency
from fovea.models.backbone import Backbone
from fovea.models.propagation import propagate
from fovea.runtime.bounds import Count, NonNegative
from fovea.supervision.agreement import Agreement
from fovea.supervision.batch import Batch, Image
from fovea.supervision.mode import Mode
from fovea.supervision.outputs import activate, resize
from fovea.supervision.thresholds import Thresholds, Values


class MultiLevel(Mode):
    """One network for each level; each learns the pseudo-mask at its own threshold, and they are kept consistent.

    A high threshold gives few false positives, a low one few false negatives. The levels agree on what the gaze meant.
    Zhong et al., "Weakly-supervised Medical Image Segmentation with Gaze Annotations", MICCAI 2024.

    The pseudo-mask of level k is `pseudo >= thresholds[k]`. A collapsed level pulls down the mean of `logits`, lowers
    that of `probabilities` by its share (with two levels the masks are equal), and counts 0 in `ensemble=quality`,
    which weights the probabilities by how well each level has learned its own pseudo-mask.
    `configs/supervision/multi_level.yaml` describes the arguments. A ValueError for no threshold, one outside (0, 1],
    an even window, or a backbone that has no features to propagate.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"pseudo"})
    serves: ClassVar[frozenset[str]] = frozenset({"images"})

    def __init__(
        self,
        backbone: Callable[[], nn.Module],
        loss: nn.Module,
        thresholds: Values,
        consistency: Literal["prop", "pure", "none"],
        weight: NonNegative,
        init: Literal["independent", "copied"],
        ensemble: Literal["logits", "probabilities", "quality"],
        window: Count,
        kernel_size: Count,
        dilation: Count,
        similarity: Literal["dot", "cosine"],
    ) -> None:
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, got {kernel_size}")
        super().__init__()
        self.thresholds = Thresholds(thresholds)
        self.levels = nn.ModuleList([backbone() for _ in thresholds])
        if init == "copied":
            for level in self.levels[1:]:
                level.load_state_dict(self.levels[0].state_dict())
        self.loss, self.weight, self.ensemble = loss, weight, ensemble
        self.consistency = consistency if len(self.levels) > 1 and weight else "none"
        self.agreement = Agreement(len(self.levels), window)
        self.propagate = partial(propagate, kernel_size=kernel_size, dilation=dilation, similarity=similarity)
        first = self.levels[0]
        if self.consistency == "prop" and not (hasattr(first, "features") and hasattr(first, "classify")):
            raise ValueError(f"consistency=prop needs a backbone with features, not {type(first).__name__}; use pure")

    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Return the losses and consistencies of the levels on `image` and the map `pseudo`, both [B, C, H, W].

        `agreement_k` is the Dice of level k with its own pseudo-mask in the last `window` steps.
        """
        image, pseudo = cast("Tensor", batch["image"]), batch["pseudo"]
        networks = cast("list[Backbone]", list(self.levels))
        if self.consistency == "prop":
            features = [network.features(image) for network in networks]
            logits = [network.classify(values) for network, values in zip(networks, features, strict=True)]
        else:
            logits = [network(image) for network in networks]
        targets = [(pseudo >= threshold).to(logits[0].dtype) for threshold in self.thresholds.draw(pseudo)]
        supervised = torch.stack([self.loss(z, target) for z, target in zip(logits, targets, strict=True)])
        self.agreement.update(torch.stack(logits), torch.stack(targets))
        terms = {f"supervised_{k}": value for k, value in enumerate(supervised, 1)}
        terms |= {f"agreement_{k}": value for k, value in enumerate(self.agreement.dice(), 1)}
        total = supervised.sum()
        if self.consistency != "none":
            compared, size = logits, logits[0].shape[2:]
            if self.consistency == "prop":
                pairs = zip(networks, map(self.propagate, features), strict=True)
                compared = [resize(network.classify(values), size) for network, values in pairs]
            consistent = cross_level_consistency(torch.stack(compared), torch.stack(logits))
            terms |= {f"consistency_{k}": value for k, value in enumerate(consistent, 1)}
            total = total + self.weight * consistent.sum()
        return {"loss": total, **terms}

    def forward(self, image: Image, size: Sequence[int]) -> dict[str, Tensor]:
        """Return the probabilities [B, K, *size] of an image [B, C, H, W]: those of the ensemble and of each level."""
        logits = [resize(level(image), size) for level in self.levels]
        levels = [activate(z) for z in logits]
        if self.ensemble == "logits":
            prediction = activate(torch.stack(logits).mean(dim=0))
        elif self.ensemble == "probabilities":
            prediction = torch.stack(levels).mean(dim=0)
        else:
            weighted = [weight * level for weight, level in zip(self.agreement.weights(), levels, strict=True)]
            prediction = torch.stack(weighted).sum(dim=0).clamp(max=1)  # 1.0000001 by rounding
        return {"prediction": prediction} | {f"level_{k}": level for k, level in enumerate(levels, 1)}

    def after_step(self, progress: float) -> None:
        """Warn once when a level starts to predict almost nothing."""
        names = [f"level {k} (threshold {threshold})" for k, threshold in enumerate(self.thresholds.values, 1)]
        advice = "if it lasts, lower its threshold or check the gaze (fovea-prepare quality=labels)"
        if len(self.levels) > 1 and self.ensemble != "quality":
            advice = f"supervision.ensemble=quality keeps it out of the prediction; {advice}"
        self.agreement.after_step(names, advice)
