"""One network on a pseudo-mask, with a band of uncertain values that it is not trained on."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor, nn

from fovea.losses.certain import on_certain
from fovea.supervision.deep import Deep
from fovea.supervision.mode import Mode
from fovea.supervision.outputs import probabilities
from fovea.supervision.thresholds import Thresholds


class Band(Mode):
    """One network; the map's high values are foreground, its low ones background, and those between say nothing.

    The strict and the lax threshold agree outside the band, so what is trained on is the surer part of the map, at the
    cost of one network. Partial cross-entropy, Tang et al., CVPR 2018 (see `fovea.losses.certain`).

    Args:
        backbone: Factory of the network, called once.
        loss: Takes logits and targets of 0 and 1, both [1, 1, N, 1], of the N certain pixels of the batch.
        thresholds: Foreground is `pseudo >= max(thresholds)`, background `pseudo < min(thresholds)`; with one
            threshold there is no band. A pair `[low, high]` is a range that each batch draws from.
        deep: Weight of the loss of the decoder's coarser scales, for backbones that have some; 0 for none.

    Raises:
        ValueError: no threshold, or one outside (0, 1]; see also `fovea.supervision.deep.Deep`.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"pseudo"})

    def __init__(
        self,
        backbone: Callable[[], nn.Module],
        loss: nn.Module,
        thresholds: Sequence[float | Sequence[float]],
        deep: float = 0.0,
    ) -> None:
        super().__init__()
        self.thresholds = Thresholds(thresholds)
        self.network = backbone()
        self.loss = loss
        self.deep = Deep(self.network, deep)

    def losses(self, batch: Mapping[str, Any], progress: float) -> dict[str, Tensor]:
        """The loss on `image` [B, C, H, W] and the map `pseudo` [B, 1, H, W] in [0, 1]; what part of it is certain."""
        pseudo, thresholds = batch["pseudo"], self.thresholds.draw()
        foreground = pseudo >= max(thresholds)
        certain = foreground | (pseudo < min(thresholds))
        target = foreground.to(pseudo.dtype)
        terms = self.deep.losses(
            self.network, batch["image"], lambda logits: on_certain(self.loss, logits, target, certain)
        )
        return terms | {"certain": certain.float().mean()}

    def forward(self, image: Tensor, size: Sequence[int]) -> dict[str, Tensor]:
        """Probabilities [B, 1, *size] of an image [B, C, H, W]."""
        return {"prediction": probabilities(self.network(image), size)}
