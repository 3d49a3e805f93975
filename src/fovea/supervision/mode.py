"""The interface of supervision modes."""

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from fovea.supervision.batch import Batch, Image
from fovea.supervision.modalities import predict


class Mode(nn.Module):
    """A supervision mode: its networks, how they are trained on a kind of label, and how they predict.

    All state is in the module, so checkpoints, moving averages and several processes need no special case. A mode is
    built from a backbone factory, which it calls once for each of its networks, and a loss of logits and targets. See
    `docs/adding_a_supervision_mode.md`.
    """

    needs: ClassVar[frozenset[str]]
    """The targets that it trains on: `mask`, `pseudo`, `unlabeled`, … Only the files of these are opened."""
    serves: ClassVar[frozenset[str]] = frozenset({"images", "volumes"})
    """The kinds of data that it trains on: `images`, `volumes` (mappings by modality)."""
    network: nn.Module
    """Predicts, unless the mode has a teacher or its own `forward`."""
    student: nn.Module
    teacher: AveragedModel
    """The moving average of the student, if the mode has one: it follows each step, and predicts."""

    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Return named scalars. `loss`, a weighted sum of terms, is minimized; all are logged.

        A batch may be two streams of batches. `progress` is the part of the training that is done, in [0, 1].
        """
        raise NotImplementedError(f"{type(self).__name__} has no losses; see docs/adding_a_supervision_mode.md")

    def forward(self, image: Image, size: Sequence[int]) -> dict[str, Tensor]:
        """Return probabilities [B, K, *size] by name: `prediction`, and `level_1`, … if the mode has levels.

        K = 1 is a sigmoid, K > 1 a softmax with class 0 the background.

        Args:
            image: [B, C, *size], or a mapping of such tensors by modality, of which the first is predicted.
            size: The size of the output; logits are resized to it.
        """
        return predict(self.teacher if hasattr(self, "teacher") else self.network, image, size)

    def after_step(self, progress: float) -> None:
        """Update the teacher, if there is one, after a step of the optimizer; `losses` got the same `progress`."""
        if hasattr(self, "teacher"):
            self.teacher.update_parameters(self.student)
