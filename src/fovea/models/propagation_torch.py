"""Feature propagation with tensor operations of PyTorch, for any device; see `fovea.models.propagation`."""

from collections.abc import Iterator
from itertools import product

import torch
from torch import Tensor
from torch.nn import functional as F

_LEAST_NORM = 1e-12  # as in torch.nn.functional.normalize


def forward(values: Tensor, kernel: int, dilation: int, cosine: bool) -> tuple[Tensor, Tensor]:
    """Return propagated features and their similarities, from shifted views of one padded copy.

    Features are [B, C, H, W], float32 or float64; similarities [B, kernel ** 2, H, W], of either sign.
    """
    scores = torch.stack([(values * near).sum(dim=1) for near in _neighbors(values, kernel, dilation)], dim=1)
    if cosine:
        scores *= _scales(inverse_norms(values), kernel, dilation)
    output = torch.zeros_like(values)
    _mix(output, scores.relu().softmax(dim=1), values, kernel, dilation)
    return output, scores


def backward(grad: Tensor, values: Tensor, scores: Tensor, kernel: int, dilation: int, cosine: bool) -> Tensor:
    """Return the gradient of the values from that of the propagated features, `grad`, both [B, C, H, W].

    The other arguments are those of `forward`, and `scores`, the similarities that it returned.
    """
    weights = scores.relu().softmax(dim=1)
    slope = torch.stack([(grad * near).sum(dim=1) for near in _neighbors(values, kernel, dilation)], dim=1)
    slope = weights * (slope - (weights * slope).sum(dim=1, keepdim=True)) * (scores > 0)
    slope += _turn(slope, kernel, dilation)  # a similarity belongs to both of its pixels
    if cosine:
        inverse = inverse_norms(values)
        along = (slope * scores).sum(dim=1)  # a cosine does not change along its own vector
        slope *= _scales(inverse, kernel, dilation)
        slope[:, kernel**2 // 2] -= along * inverse**2
    output = torch.zeros_like(values)
    _mix(output, _turn(weights, kernel, dilation), grad, kernel, dilation)
    _mix(output, slope, values, kernel, dilation)
    return output


def _neighbors(maps: Tensor, kernel: int, dilation: int) -> Iterator[Tensor]:
    """Yield views of one zero-padded copy of maps [B, C, H, W], one for each offset of the window."""
    height, width = maps.shape[2:]
    reach = kernel // 2 * dilation
    padded = F.pad(maps, (reach, reach, reach, reach))
    for top, left in product(range(0, 2 * reach + 1, dilation), repeat=2):
        yield padded[:, :, top : top + height, left : left + width]


def _mix(output: Tensor, weights: Tensor, values: Tensor, kernel: int, dilation: int) -> None:
    """Add the values of the neighbors, times their weights [B, N, H, W], to the output [B, C, H, W]."""
    for weight, near in zip(weights.split(1, dim=1), _neighbors(values, kernel, dilation), strict=True):
        output.addcmul_(weight, near)


def _turn(pairs: Tensor, kernel: int, dilation: int) -> Tensor:
    """Return for each pixel and neighbor the value that the neighbor holds for the pixel, [B, N, H, W]."""
    opposite = range(kernel**2 - 1, -1, -1)
    return torch.stack([near[:, n] for n, near in zip(opposite, _neighbors(pairs, kernel, dilation), strict=True)], 1)


def _scales(inverse: Tensor, kernel: int, dilation: int) -> Tensor:
    """Return the products of the inverse norms of each pixel and its neighbors, [B, N, H, W]."""
    inverse = inverse.unsqueeze(dim=1)
    return inverse * torch.cat(list(_neighbors(inverse, kernel, dilation)), dim=1)


def inverse_norms(values: Tensor) -> Tensor:
    """Return the reciprocals [B, H, W] of the norms of features [B, C, H, W]."""
    return torch.linalg.vector_norm(values, dim=1).clamp(min=_LEAST_NORM).reciprocal()
