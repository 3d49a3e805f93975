"""One network on a pseudo-mask, with a band of uncertain values that it is not trained on."""

from collections.abc import Callable
from typing import ClassVar

from torch import Tensor, nn

from fovea.losses.ignore import IGNORE, IgnoreLabel
from fovea.supervision.batch import Batch
from fovea.supervision.modalities import logits_of, supervised_loss
from fovea.supervision.mode import Mode
from fovea.supervision.outputs import as_target
from fovea.supervision.thresholds import Thresholds, Values


class Band(Mode):
    """One network: high values of the map are foreground, low values background, and the loss ignores those between.

    The strictest and the loosest threshold agree outside the band. So the network learns the more certain part of the
    map, at the cost of one network. Partial cross-entropy, Tang et al., CVPR 2018 (see `fovea.losses.ignore`).

    Foreground is `pseudo >= max(thresholds)`, background is `pseudo < min(thresholds)`. With one threshold there is no
    band. See also `fovea.supervision.thresholds.Thresholds`. A ValueError for no threshold, or one outside (0, 1].
    """

    needs: ClassVar[frozenset[str]] = frozenset({"pseudo"})

    def __init__(self, backbone: Callable[[], nn.Module], loss: nn.Module, thresholds: Values) -> None:
        super().__init__()
        self.thresholds = Thresholds(thresholds)
        self.network = backbone()
        self.loss = IgnoreLabel(loss)

    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Return the loss on `image` and the map `pseudo` [B, 1, *size], and the certain part of the map."""
        trimap = self.thresholds.trimap(batch["pseudo"])
        logits = logits_of(self.network, batch["image"])
        supervised = supervised_loss(self.loss, logits, as_target(trimap, logits))
        return {"loss": supervised, "supervised": supervised, "certain": (trimap != IGNORE).float().mean()}
