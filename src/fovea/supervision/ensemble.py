"""Several trained networks as one: the mean of their probabilities."""

from collections.abc import Sequence

from torch import Tensor, nn

from fovea.supervision.batch import Image


class MeanOverModels(nn.Module):
    """The mean of the probabilities of several modes, e.g. one for each seed or fold.

    Of levels and other outputs, those that all modes have.
    """

    def __init__(self, models: Sequence[nn.Module]) -> None:
        super().__init__()
        self.models = nn.ModuleList(models)

    def forward(self, image: Image, size: Sequence[int]) -> dict[str, Tensor]:
        """Return the probabilities [B, K, *size] by name."""
        every = [model(image, size) for model in self.models]
        shared = [name for name in every[0] if all(name in outputs for outputs in every)]
        return {name: sum(outputs[name] for outputs in every) / len(every) for name in shared}
