"""The mean prediction over flips of an image (test-time augmentation), or over several networks."""

from collections.abc import Sequence
from functools import partial
from itertools import combinations
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from fovea.supervision.batch import Image
from fovea.supervision.modalities import apply

Axes = Annotated[Sequence[int], Field(max_length=3)]


class MeanOverFlips(nn.Module):
    """The mean of the outputs of a mode over flips of the image, each flipped back.

    It flips along `axes` and all combinations of them: along height and width, these are the image, two mirror images
    and a rotation by 180 degrees. Axes count from the last: -1 is width, -2 height and -3 the depth of a volume. A
    ValueError for an axis that is not one of these, or is there twice.
    """

    def __init__(self, module: nn.Module, axes: Axes) -> None:
        super().__init__()
        if len({*axes}) < len(axes) or not {*axes} <= {-1, -2, -3}:
            raise ValueError(f"axes must be different ones of -1 (width), -2 (height), -3 (depth), got {list(axes)}")
        self.module = module
        self.flips = [chosen for number in range(len(axes) + 1) for chosen in combinations(axes, number)]

    def forward(self, image: Image, size: Sequence[int]) -> dict[str, Tensor]:
        """Return the probabilities [B, K, *size] by name; a ValueError if the image has no such axis."""
        total: dict[str, Tensor] = {}
        for axes in self.flips:
            for name, probability in self.module(apply(partial(_flip, axes=axes), image), size).items():
                upright = _flip(probability, axes)
                total[name] = total[name] + upright if name in total else upright
        return {name: value / len(self.flips) for name, value in total.items()}


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


def _flip(image: Tensor, axes: Sequence[int]) -> Tensor:
    if not axes:
        return image
    if -min(axes) > image.dim() - 2:  # it would flip the channels
        raise ValueError(f"tta.axes: an image of {image.dim() - 2} axes has no axis {min(axes)}; leave it out")
    return torch.flip(image, dims=tuple(axes))
