"""The whole way of an image as one graph: resize, normalize, predict, resize back."""

from typing import Any

import albumentations as A
import torch
from torch import Tensor, nn

from fovea.data.images.samples import lookup_table

ONE = 2048  # OpenCV's weights have 11 bits
LEAST = 1e-4  # albumentations adds it to what it divides by


class Graph(nn.Module):
    """An image, uint8 [H, W, C] of any size, to probabilities, float32 [K, H, W].

    `mode` is in evaluation mode and ensembles its levels itself; its network reads squares of `size` pixels a side.
    """

    def __init__(self, mode: nn.Module, size: int, normalize: nn.Module) -> None:
        super().__init__()
        self.mode, self.size, self.normalize = mode, size, normalize

    def forward(self, image: Tensor) -> Tensor:
        values = self.normalize(resized(image, self.size)).permute(2, 0, 1)[None]
        prediction: Tensor = self.mode(values, image.shape[:2])["prediction"]
        return prediction[0]


class Table(nn.Module):
    """Normalize values of 0 to 255, [H, W, C], by a table of each channel, float32 [C, 256]."""

    table: Tensor

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.register_buffer("table", table)

    def forward(self, image: Tensor) -> Tensor:
        indices = image.long().reshape(-1, len(self.table))  # index_select is one fast operator of ONNX
        planes = [values.index_select(0, indices[:, channel]) for channel, values in enumerate(self.table)]
        return torch.stack(planes, dim=-1).reshape(image.shape)


class Statistics(nn.Module):
    """Normalize an image [H, W, C] by its own mean and deviation, or by its own extremes; for each channel or all."""

    def __init__(self, normalization: str) -> None:
        super().__init__()
        self.axes = (0, 1) if normalization.endswith("_per_channel") else (0, 1, 2)
        self.extremes = normalization.startswith("min_max")

    def forward(self, image: Tensor) -> Tensor:
        if self.extremes:
            offset = image.amin(self.axes, keepdim=True)
            scale = image.amax(self.axes, keepdim=True) - offset
        else:
            offset = image.mean(self.axes, keepdim=True)
            scale = (image - offset).square().mean(self.axes, keepdim=True).sqrt()
        return ((image - offset) / (scale + LEAST)).clamp(-20, 20).float()


def normalizer(normalize: Any, channels: int) -> nn.Module:
    """Return `albumentations.Normalize` as a module, float64 [H, W, C] to float32; a ValueError for others."""
    if (table := lookup_table(normalize, channels)) is not None:
        return Table(torch.from_numpy(table))
    if type(normalize) is not A.Normalize or normalize.p < 1:
        name, fix = type(normalize).__name__, "train with data.normalize._target_=albumentations.Normalize"
        raise ValueError(f"checkpoint: its images were normalized by {name}, which cannot be exported; {fix}")
    return Statistics(normalize.normalization)


def resized(image: Tensor, size: int) -> Tensor:
    """Resize an image, uint8 [H, W, C], to float64 [size, size, C] as OpenCV's bilinear resize, to the last bit.

    OpenCV computes with whole numbers: it drops 4 bits after the rows and 16 after the columns, and rounds at the end.
    Numbers of float64 hold all of them, and ONNX has all operators for them.
    """
    height, width = image.shape[:2]
    top, above, below = _taps(height, size)
    left, before, after = _taps(width, size)
    outside = (left < 0) | (left >= width - 1)  # there a column has the weight of both
    before, after = torch.where(outside, float(ONE), before)[:, None], torch.where(outside, 0.0, after)[:, None]
    first, second = left.clamp(0, width - 1), (left + 1).clamp(0, width - 1)

    def lines(rows: Tensor) -> Tensor:
        values = image.index_select(0, rows.clamp(0, height - 1)).double()
        return ((values.index_select(1, first) * before + values.index_select(1, second) * after) / 16).floor()

    upper = (lines(top) * above[:, None, None] / 65536).floor()
    lower = (lines(top + 1) * below[:, None, None] / 65536).floor()
    return ((upper + lower + 2) / 4).floor()


def _taps(side: int, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the first of the two pixels of each output pixel, and the weights of both, in units of 1 / ONE."""
    scale = 1.0 / (size / side)
    position = ((torch.arange(size, dtype=torch.float64) + 0.5) * scale - 0.5).float()
    part = position - position.floor()
    return position.floor().long(), ((1 - part) * ONE).round().double(), (part * ONE).round().double()
