"""Full supervision: one network, trained on masks."""

from collections.abc import Callable
from typing import ClassVar

from torch import Tensor, nn

from fovea.supervision.batch import Batch
from fovea.supervision.modalities import logits_of, supervised_loss
from fovea.supervision.mode import Mode


class Full(Mode):
    """One network, trained on the masks of the labeled cases.

    With masks for all cases it is the upper bound for cheaper labels. With few labeled cases it is the baseline for
    learning from unlabeled ones. Of several modalities, the loss is the mean.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"mask"})

    def __init__(self, backbone: Callable[[], nn.Module], loss: nn.Module) -> None:
        super().__init__()
        self.network = backbone()
        self.loss = loss

    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Return the loss on `image` and `mask`."""
        labeled = batch.get("labeled", batch)
        supervised = supervised_loss(self.loss, logits_of(self.network, labeled["image"]), labeled["mask"])
        return {"loss": supervised, "supervised": supervised}
