"""Votes of neighbors: certain pixels with similar features label the uncertain band of a map."""

from collections.abc import Callable
from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fovea.losses.contrast import supervised_contrast
from fovea.losses.ignore import IGNORE, IgnoreLabel
from fovea.losses.precision import LEAST_NORM, single
from fovea.models.backbone import Backbone
from fovea.runtime.bounds import Count, Fraction, NonNegative, Positive
from fovea.supervision.batch import Batch
from fovea.supervision.mode import Mode
from fovea.supervision.thresholds import Thresholds, Values

ROWS = 4096  # voters are compared with so many pixels at a time


class Neighbor(Mode):
    """One network on two views; in the band, pixels take the label of the certain pixels with the nearest features.

    A pixel of the band takes votes if its features agree in both views. A contrast brings the features of certain
    pixels of one label together, and apart from those of the other. After GNAN, MICCAI 2025, which has a second head
    and an embedding; here, the classifier of the backbone and the features of its decoder replace them.
    `configs/supervision/neighbor.yaml` describes the arguments.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"pseudo"})
    serves: ClassVar[frozenset[str]] = frozenset({"images"})

    def __init__(
        self,
        backbone: Callable[[], nn.Module],
        loss: nn.Module,
        thresholds: Values,
        view: nn.Module,
        neighbors: Count,
        samples: Count,
        agreement: Fraction,
        temperature: Positive,
        vote_weight: NonNegative,
        view_weight: NonNegative,
        contrast_weight: NonNegative,
    ) -> None:
        super().__init__()
        self.network = backbone()
        if not (hasattr(self.network, "features") and hasattr(self.network, "classify")):
            raise ValueError(f"backbone: neighbor needs one with features, not {type(self.network).__name__}")
        self.thresholds = Thresholds(thresholds)
        self.loss = IgnoreLabel(loss)
        self.view = view
        self.neighbors, self.samples = neighbors, samples
        self.agreement, self.temperature = agreement, temperature
        self.weights = {"votes": vote_weight, "views": view_weight, "contrast": contrast_weight}

    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Return `supervised` outside the band, `votes` and `views` in it, `contrast`, and the part that took votes."""
        network, image = cast("Backbone", self.network), cast("Tensor", batch["image"])
        both = [network.features(self.view(image)) for _ in range(2)]
        logits = [network.classify(features) for features in both]
        target = self.thresholds.trimap(batch["pseudo"])
        first, second = (single(features).movedim(1, -1) for features in both)  # [B, h, w, C]
        coarse = F.interpolate(target, size=first.shape[1:3], mode="nearest")[:, 0]
        voters = self._draw(coarse)
        similar = F.cosine_similarity(first, second, dim=-1, eps=LEAST_NORM)
        band = coarse == IGNORE
        voted = torch.full_like(coarse, IGNORE)
        asked = band & (similar.detach() > self.agreement)
        if len(voters[0]):
            features = first.detach()
            voted[asked] = votes(features[asked], features[voters], coarse[voters], self.neighbors).to(voted.dtype)
        wide = F.interpolate(voted[:, None], size=target.shape[2:], mode="nearest")
        wide = torch.where(target == IGNORE, wide, IGNORE)
        terms = {
            "supervised": torch.stack([self.loss(each, target) for each in logits]).mean(),
            "votes": torch.stack([self.loss(each, wide) for each in logits]).mean(),
            "views": (1 - similar)[band].sum() / band.sum().clamp_min(1),
            "contrast": supervised_contrast(first[voters], second[voters], coarse[voters], self.temperature),
        }
        loss = terms["supervised"] + sum(weight * terms[name] for name, weight in self.weights.items())
        return {"loss": loss} | terms | {"voted": (wide != IGNORE).float().mean()}

    def _draw(self, labels: Tensor) -> tuple[Tensor, ...]:
        """Return the places of as many pixels of label 0 as of label 1 in labels [B, h, w]; none if one is missing."""
        places = [(labels == label).nonzero() for label in (0, 1)]
        number = min(self.samples // 2, *map(len, places))
        chosen = [each[torch.randperm(len(each), device=each.device)[:number]] for each in places]
        return torch.cat(chosen).unbind(dim=1)


def votes(features: Tensor, voters: Tensor, label: Tensor, neighbors: int) -> Tensor:
    """Return for N features [N, C] the label 0 or 1 of the M nearest voters [M, C] by cosine, weighted by it, [N]."""
    nearest = F.normalize(voters, dim=1, eps=LEAST_NORM)
    sign = 2 * label - 1
    found = []
    for rows in features.split(ROWS):
        with torch.autocast(features.device.type, enabled=False):  # in bfloat16, most of the nearest would be equal
            cosine = F.normalize(rows, dim=1, eps=LEAST_NORM) @ nearest.mT
        best, index = cosine.topk(min(neighbors, len(voters)), dim=1)
        found.append((best * sign[index]).sum(dim=1) > 0)
    return torch.cat(found)
