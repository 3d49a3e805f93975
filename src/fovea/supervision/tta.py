"""Test-time flips: an image and its mirror images, predicted and averaged."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn


class MeanOverFlips(nn.Module):
    """A supervision module that is read as the mean of its probabilities over flips of the image.

    With the axes of height and width these are the image, its two mirror images and the one turned by 180 degrees.
    Each output is flipped back before the mean is taken; without an axis the module's own outputs come through.

    Args:
        module: A supervision module; see `fovea.supervision.mode.Mode.forward`.
        axes: Axes to flip along, and along every combination of them, counted from the last: -1 is width, -2 height
            and -3 the depth of a volume.

    Raises:
        ValueError: an axis is none of these, or given twice.
    """

    def __init__(self, module: nn.Module, axes: Sequence[int]) -> None:
        super().__init__()
        if len({*axes}) < len(axes) or not {*axes} <= {-1, -2, -3}:
            raise ValueError(f"tta.axes={list(axes)}: give each of -1 (width), -2 (height) and -3 (depth) at most once")
        self.module = module
        self.flips = [chosen for number in range(len(axes) + 1) for chosen in combinations(axes, number)]

    def forward(self, image: Any, size: Sequence[int]) -> dict[str, Tensor]:
        """Probabilities [B, K, *size] by name, of an image [B, C, (D,) H, W] or a mapping of such by modality.

        Raises:
            ValueError: the image has no such axis.
        """
        total: dict[str, Tensor] = {}
        for axes in self.flips:
            for name, probability in self.module(_flipped(image, axes), size).items():
                back = _flipped(probability, axes)
                total[name] = total[name] + back if name in total else back
        return {name: value / len(self.flips) for name, value in total.items()}


def _flipped(image: Any, axes: Sequence[int]) -> Any:
    if isinstance(image, Mapping):
        return {name: _flipped(each, axes) for name, each in image.items()}
    if not axes:
        return image
    if -min(axes) > image.dim() - 2:  # it would be the channels
        raise ValueError(f"tta.axes: an image of {image.dim() - 2} axes has no axis {min(axes)}; leave it out")
    return torch.flip(image, dims=tuple(axes))
