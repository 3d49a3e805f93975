"""Mean teacher: a moving average of the network says what the network should say of unlabelled volumes."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from fovea.models.by_modality import network_of
from fovea.supervision.mode import Mode
from fovea.supervision.ramps import ramp_up
from fovea.supervision.two_streams import predict_first, stream, supervised_loss


class MeanTeacher(Mode):
    """A student on labelled volumes, consistent with its averaged self under noise on unlabelled ones.

    The consistency is the mean square between the two class probabilities, with a weight that ramps up. The teacher
    predicts. Tarvainen and Valpola, "Mean teachers are better role models", NIPS 2017.

    Args:
        backbone: Factory of a `fovea.models.by_modality.ByModality`, called once.
        loss: Takes logits [B, K, D, H, W] and labels [B, D, H, W].
        weight: Of the consistency, times its ramp.
        decay: Of the average, at each step; less at first, so that it is the plain mean of all weights until then.
        noise: Standard deviation of the noise on either's volumes, in units of the normalised volume.

    Raises:
        ValueError: an argument makes no sense, or the network is of another kind.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"mask", "unlabeled"})

    def __init__(
        self, backbone: Callable[[], nn.Module], loss: nn.Module, weight: float, decay: float, noise: float
    ) -> None:
        super().__init__()
        if weight < 0 or noise < 0 or not 0 <= decay < 1:
            raise ValueError(
                f"supervision: weight={weight}, noise={noise}, decay={decay}; give the first two 0 or more, and a "
                "decay from 0 to below 1"
            )
        self.student = network_of(backbone)
        self.teacher = AveragedModel(self.student, multi_avg_fn=partial(follow, decay), use_buffers=True)
        self.teacher.requires_grad_(False)
        self.loss = loss
        self.weight = weight
        self.noise = noise

    def losses(self, batch: Mapping[str, Any], progress: float) -> dict[str, Tensor]:
        """`supervised` on the labelled stream, `consistency` on the unlabelled one."""
        labeled, image = stream(batch, "labeled"), stream(batch, "unlabeled")["image"]
        supervised = supervised_loss(self.loss, self.student(labeled["image"]).logits, labeled["mask"])
        with torch.no_grad():
            taught = self.teacher(self._noisy(image)).logits
        said = self.student(self._noisy(image)).logits
        squares = [(logits.softmax(dim=1) - taught[name].softmax(dim=1)).square() for name, logits in said.items()]
        consistency = torch.stack([square.mean() for square in squares]).mean()
        loss = supervised + self.weight * ramp_up(progress) * consistency
        return {"loss": loss, "supervised": supervised, "consistency": consistency}

    def _noisy(self, image: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The volumes with noise of their own."""
        return {name: volume + self.noise * torch.randn_like(volume) for name, volume in image.items()}

    def forward(self, image: Mapping[str, Tensor], size: Sequence[int]) -> dict[str, Tensor]:
        """The teacher's probabilities [B, K, *size] of the first modality; see `two_streams.predict_first`."""
        return predict_first(self.teacher, image, size)

    def after_step(self, progress: float) -> None:
        """Let the teacher follow."""
        self.teacher.update_parameters(self.student)


def follow(decay: float, averaged: Sequence[Tensor], current: Sequence[Tensor], number: Tensor | int) -> None:
    """Move averages in place towards the weights of today, as in the released code of mean teachers.

    Args:
        decay: What is kept of the average, once it is an average of many.
        averaged: The averages.
        current: The weights.
        number: Weights that have gone into the averages so far, n; no more than n / (n + 1) is kept.
    """
    known = int(number)
    get_ema_multi_avg_fn(min(decay, known / (known + 1)))(averaged, current, number)
