"""The seam between a kind of label and everything else."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor, nn


class Mode(nn.Module):
    """A supervision mode: the networks it owns, how they are trained under one kind of label, how they are read.

    All state lives in the module, so that checkpoints, moving averages and several processes need no special case.
    Subclasses are built from a backbone factory (called once for each network they own) and a loss; see
    `docs/adding_a_supervision_mode.md`.
    """

    needs: ClassVar[frozenset[str]]
    """Targets that it trains on: `mask`, `pseudo`, …; the data module opens these files alone."""

    def losses(self, batch: Mapping[str, Any], progress: float) -> dict[str, Tensor]:
        """Named scalars: `loss`, a weighted sum of terms, is minimised; all are logged, mere figures too.

        Args:
            batch: See `fovea.supervision.batch.Batch`; with several streams, one such mapping by stream.
            progress: The part of training that is done, in [0, 1].
        """
        raise NotImplementedError

    def forward(self, image: Any, size: Sequence[int]) -> dict[str, Tensor]:
        """Probabilities [B, K, *size] by name: `prediction`, and `level_1`, … where there are levels.

        Args:
            image: [B, C, H, W], or a mapping of such by modality.
            size: To resize to. K = 1 is a sigmoid, K > 1 a softmax with class 0 the background.
        """
        raise NotImplementedError

    def after_step(self, progress: float) -> None:
        """Follow a step of the optimiser, say with a moving average of weights; `progress` is that of its losses."""
