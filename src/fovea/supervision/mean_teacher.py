"""Mean teacher: a moving average of the network gives the targets of unlabeled cases."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from fovea.runtime.bounds import NonNegative, Progress
from fovea.supervision.batch import Batch
from fovea.supervision.modalities import apply, logits_of, supervised_loss
from fovea.supervision.mode import Mode
from fovea.supervision.outputs import activate
from fovea.supervision.ramps import ramp_up


class MeanTeacher(Mode):
    """A student on labeled cases, consistent with its moving average under noise on unlabeled ones.

    The consistency is the mean squared difference of the two probabilities. Its weight ramps up. The teacher predicts.
    Tarvainen and Valpola, "Mean teachers are better role models", NIPS 2017.
    `configs/supervision/mean_teacher.yaml` describes the arguments.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"mask", "unlabeled"})

    def __init__(
        self,
        backbone: Callable[[], nn.Module],
        loss: nn.Module,
        weight: NonNegative,
        decay: Progress,
        noise: NonNegative,
    ) -> None:
        super().__init__()
        self.student = backbone()
        self.teacher = averaged(self.student, decay)
        self.loss, self.weight, self.noise = loss, weight, noise

    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Return `supervised` on the labeled stream and `consistency` on the unlabeled one."""
        labeled, image = batch["labeled"], batch["unlabeled"]["image"]
        supervised = supervised_loss(self.loss, logits_of(self.student, labeled["image"]), labeled["mask"])
        with torch.no_grad():
            targets = logits_of(self.teacher, apply(self._add_noise, image))
        logits = logits_of(self.student, apply(self._add_noise, image))
        squares = [(activate(logits[name]) - activate(targets[name])).square().mean() for name in logits]
        consistency = torch.stack(squares).mean()
        loss = supervised + self.weight * ramp_up(progress) * consistency
        return {"loss": loss, "supervised": supervised, "consistency": consistency}

    def _add_noise(self, image: Tensor) -> Tensor:
        return image + self.noise * torch.randn_like(image)


def averaged(network: nn.Module, decay: float) -> AveragedModel:
    """Return the moving average of a network, a copy of it at first; it is not trained."""
    return AveragedModel(network, multi_avg_fn=partial(follow, decay), use_buffers=True).requires_grad_(False)


def follow(decay: float, averaged: Sequence[Tensor], current: Sequence[Tensor], number: Tensor | int) -> None:
    """Move averages of `number` weights in place towards the current ones, as in the released code of mean teachers.

    With n weights so far, the decay is at most n / (n + 1).
    """
    count = int(number)
    get_ema_multi_avg_fn(min(decay, count / (count + 1)))(averaged, current, number)
