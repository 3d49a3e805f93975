"""A teacher labels the uncertain band of a map: a moving average of the network, where it is confident."""

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn

from fovea.losses.ignore import IGNORE, IgnoreLabel
from fovea.runtime.bounds import Fraction, NonNegative, Progress
from fovea.supervision.batch import Batch
from fovea.supervision.mean_teacher import averaged
from fovea.supervision.modalities import logits_of, supervised_loss
from fovea.supervision.mode import Mode
from fovea.supervision.outputs import as_target, confident
from fovea.supervision.ramps import ramp_up
from fovea.supervision.thresholds import Thresholds, Values
from fovea.supervision.views import cut_mix


class Teacher(Mode):
    """A student learns the certain part of the map, and in the band the confident labels of its moving average.

    The teacher sees the image as it is loaded, the student a strong view of it with boxes of other images. The weight
    of the band ramps up. The teacher predicts. Tarvainen and Valpola, NIPS 2017 (mean teacher); Sohn et al., NeurIPS
    2020 (FixMatch: confidence, strong view); ScribbleVS, arXiv 2411.10237 (for sparse labels).
    `configs/supervision/teacher.yaml` describes the arguments.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"pseudo"})

    def __init__(
        self,
        backbone: Callable[[], nn.Module],
        loss: nn.Module,
        thresholds: Values,
        view: nn.Module,
        cutmix: Fraction,
        confidence: Progress,
        weight: NonNegative,
        decay: Progress,
    ) -> None:
        super().__init__()
        self.thresholds = Thresholds(thresholds)
        self.student = backbone()
        self.teacher = averaged(self.student, decay)
        self.loss = IgnoreLabel(loss)
        self.view, self.cutmix = view, cutmix
        self.confidence, self.weight = confidence, weight

    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Return `supervised` outside the band, `band` in it, and the parts of all pixels that each is computed on."""
        image, trimap = batch["image"], self.thresholds.trimap(batch["pseudo"])
        logits = logits_of(self.student, image)
        target = as_target(trimap, logits)
        supervised = supervised_loss(self.loss, logits, target)
        with torch.no_grad():
            taught = {
                name: confident(values, self.confidence) for name, values in logits_of(self.teacher, image).items()
            }
        taught = {name: torch.where(target == IGNORE, label, IGNORE) for name, label in taught.items()}
        paste = cut_mix(image, self.cutmix)
        strong = logits_of(self.student, paste(self.view(image)))
        band = supervised_loss(self.loss, strong, paste(taught))
        parts = {"certain": target, "taught": torch.stack([*taught.values()])}
        shares = {name: (labels != IGNORE).float().mean() for name, labels in parts.items()}
        loss = supervised + self.weight * ramp_up(progress) * band
        return {"loss": loss, "supervised": supervised, "band": band} | shares
