"""Bidirectional copy-paste: boxes of labeled cases in unlabeled ones, and the other way round."""

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from fovea.losses.ignore import IGNORE, IgnoreLabel
from fovea.runtime.bounds import Fraction, NonNegative, Progress
from fovea.supervision.batch import Batch, Image
from fovea.supervision.largest import largest
from fovea.supervision.mean_teacher import averaged
from fovea.supervision.modalities import UNNAMED, by_name, logits_of, next_modality, supervised_loss
from fovea.supervision.mode import Mode
from fovea.supervision.outputs import confident
from fovea.supervision.views import boxes

Named = Mapping[str, Tensor]


class CopyPaste(Mode):
    """A student learns mixes of labeled and unlabeled cases; its moving average labels the unlabeled part.

    Each pair gives two mixes: a box of the labeled case in the unlabeled one, and the reverse. Until `start`, labeled
    cases are mixed with each other. The teacher predicts. Bai et al., "Bidirectional Copy-Paste for Semi-Supervised
    Medical Image Segmentation", CVPR 2023. `configs/supervision/copy_paste.yaml` describes the arguments.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"mask", "unlabeled"})

    def __init__(
        self,
        backbone: Callable[[], nn.Module],
        loss: nn.Module,
        side: Fraction,
        start: Progress,
        weight: NonNegative,
        across: bool,
        decay: Progress,
    ) -> None:
        super().__init__()
        self.student = backbone()
        self.teacher = averaged(self.student, decay)
        self.loss = IgnoreLabel(loss)
        self.side, self.start, self.weight, self.across = side, start, weight, across

    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Return `supervised` on the labeled parts of the mixes, and `other` on the rest."""
        image, mask = batch["labeled"]["image"], batch["labeled"]["mask"]
        names = list(image) if isinstance(image, Mapping) else [UNNAMED]
        cases, masks = by_name(image, names), by_name(mask, names)
        if progress < self.start:
            weight = 1.0
            others, labels = (_taken(each, torch.arange(len(cases[names[0]])) - 1) for each in (cases, masks))
        else:
            weight, (others, labels) = self.weight, self._taught(batch["unlabeled"]["image"], names)
            pairs = torch.arange(len(others[names[0]])) % len(cases[names[0]])
            cases, masks = _taken(cases, pairs), _taken(masks, pairs)
        inside = boxes(cases, cases[names[0]].new_full((len(cases[names[0]]),), self.side))
        mixes = [self._mix(region, cases, masks, others, labels) for region in (inside, lambda values: ~inside(values))]
        supervised, other = torch.stack(mixes).mean(dim=0)
        return {"loss": supervised + weight * other, "supervised": supervised, "other": other}

    def _mix(
        self, region: Callable[[Tensor], Tensor], cases: Named, masks: Named, others: Named, labels: Named
    ) -> Tensor:
        """Return the losses [2] on the labeled cases in a region and on the others around it."""
        image = {name: torch.where(region(values), values, others[name]) for name, values in cases.items()}
        logits = logits_of(self.student, image.get(UNNAMED, image))
        kept = {name: torch.where(region(mask), mask, IGNORE) for name, mask in masks.items()}
        rest = {name: torch.where(region(label), IGNORE, label) for name, label in labels.items()}
        return torch.stack([supervised_loss(self.loss, logits, each) for each in (kept, rest)])

    @torch.no_grad()
    def _taught(self, image: Image, names: Sequence[str]) -> tuple[Named, Named]:
        """Return the unlabeled cases and the teacher's labels, both by modality."""
        cases = by_name(image, names)
        labels = {name: largest(confident(values, 0)) for name, values in logits_of(self.teacher, image).items()}
        return (next_modality(cases), next_modality(labels)) if self.across else (cases, labels)


def _taken(values: Named, places: Tensor) -> Named:
    return {name: each[places] for name, each in values.items()}
