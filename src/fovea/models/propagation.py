"""Feature propagation: each pixel borrows the features of the neighbours that resemble it.

One operator of PyTorch, `fovea::propagate`, with an implementation for each kind of device: loops compiled by Numba on
a CPU, plain tensors elsewhere. It keeps the features and one score for each pixel and neighbour, where the textbook
form, unfolding the window, keeps `kernel_size ** 2` copies of the features.
"""

from collections.abc import Iterator
from itertools import product
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from fovea.runtime.errors import FoveaError

_LEAST_NORM = 1e-12  # as in torch.nn.functional.normalize


def propagate(
    features: Tensor,
    kernel_size: int = 5,
    dilation: int = 2,
    similarity: Literal["dot", "cosine"] = "dot",
) -> Tensor:
    """Replace each pixel's feature by a mean of its neighbourhood, weighted by similarity.

    For pixel p and the neighbours n of a dilated square window, p itself included,

        s_n = max(sim(f_p, f_n), 0),    w = softmax_n(s),    out_p = sum_n w_n f_n.

    Neighbours beyond the border take part as zeros, with s = 0. Zhong et al., "Weakly-supervised Medical Image
    Segmentation with Gaze Annotations", MICCAI 2024; the paper writes cosine similarity, its release uses the dot
    product.

    Args:
        features: [B, C, H, W]. Half precision is computed in float32, where a dot product cannot overflow.
        kernel_size: Side of the window in samples, odd.
        dilation: Distance between the samples of the window in pixels.
        similarity: `dot` or `cosine`.

    Returns:
        Propagated features [B, C, H, W], in the precision of `features`. They can be differentiated once.

    Raises:
        FoveaError: `kernel_size` is even or not positive, `dilation` is not positive, or `similarity` is unknown.
    """
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise FoveaError(f"kernel_size={kernel_size} has no centre; give an odd number such as 5")
    if dilation < 1:
        raise FoveaError(f"dilation={dilation} is no distance; give 1 or more")
    if similarity not in ("dot", "cosine"):
        raise FoveaError(f"similarity={similarity} is unknown; choose dot or cosine")
    values = features.to(torch.promote_types(features.dtype, torch.float32)).contiguous()
    output, _ = _forward(values, kernel_size, dilation, similarity == "cosine")
    return output.to(features.dtype)


@torch.library.custom_op("fovea::propagate", mutates_args=())
def _forward(values: Tensor, kernel: int, dilation: int, cosine: bool) -> tuple[Tensor, Tensor]:
    """Propagated features [B, C, H, W], and the similarities [B, N, H, W] of the N neighbours, of either sign."""
    scores = torch.stack([(values * near).sum(dim=1) for near in _neighbours(values, kernel, dilation)], dim=1)
    if cosine:
        scores *= _scales(_inverse_norms(values), kernel, dilation)
    output = torch.zeros_like(values)
    _mix(output, scores.relu().softmax(dim=1), values, kernel, dilation)
    return output, scores


@torch.library.custom_op("fovea::propagate_backward", mutates_args=())
def _backward(grad: Tensor, values: Tensor, scores: Tensor, kernel: int, dilation: int, cosine: bool) -> Tensor:
    """Gradient [B, C, H, W] with regard to the features."""
    weights = scores.relu().softmax(dim=1)
    slope = torch.stack([(grad * near).sum(dim=1) for near in _neighbours(values, kernel, dilation)], dim=1)
    slope = weights * (slope - (weights * slope).sum(dim=1, keepdim=True)) * (scores > 0)
    slope += _turn(slope, kernel, dilation)  # a similarity belongs to both of its pixels
    if cosine:
        inverse = _inverse_norms(values)
        along = (slope * scores).sum(dim=1)  # a cosine does not change along its own vector
        slope *= _scales(inverse, kernel, dilation)
        slope[:, kernel**2 // 2] -= along * inverse**2
    output = torch.zeros_like(values)
    _mix(output, _turn(weights, kernel, dilation), grad, kernel, dilation)
    _mix(output, slope, values, kernel, dilation)
    return output


@_forward.register_kernel("cpu")
def _forward_cpu(values: Tensor, kernel: int, dilation: int, cosine: bool) -> tuple[Tensor, Tensor]:
    from fovea.models import propagation_cpu  # imports Numba, which only training needs

    return propagation_cpu.forward(values, _scale(values, cosine), kernel, dilation)


@_backward.register_kernel("cpu")
def _backward_cpu(grad: Tensor, values: Tensor, scores: Tensor, kernel: int, dilation: int, cosine: bool) -> Tensor:
    from fovea.models import propagation_cpu

    return propagation_cpu.backward(grad, values, _scale(values, cosine), scores, kernel, dilation, cosine)


@_forward.register_fake
def _forward_shapes(values: Tensor, kernel: int, dilation: int, cosine: bool) -> tuple[Tensor, Tensor]:
    batch, _, height, width = values.shape
    return torch.empty_like(values), values.new_empty(batch, kernel**2, height, width)


@_backward.register_fake
def _backward_shapes(grad: Tensor, values: Tensor, scores: Tensor, kernel: int, dilation: int, cosine: bool) -> Tensor:
    return torch.empty_like(values)


def _keep(ctx: Any, inputs: tuple[Tensor, int, int, bool], output: tuple[Tensor, Tensor]) -> None:
    values, *ctx.window = inputs
    scores = output[1]
    ctx.save_for_backward(values, scores)
    ctx.mark_non_differentiable(scores)
    ctx.set_materialize_grads(False)


def _differentiate(ctx: Any, grad: Tensor | None, _: None) -> tuple[Tensor | None, None, None, None]:
    if grad is None:
        return None, None, None, None
    values, scores = ctx.saved_tensors
    return _backward(grad.contiguous(), values, scores, *ctx.window), None, None, None


_forward.register_autograd(_differentiate, setup_context=_keep)


def _neighbours(maps: Tensor, kernel: int, dilation: int) -> Iterator[Tensor]:
    """Views of one zero-padded copy of maps [B, C, H, W], one for each offset of the window."""
    height, width = maps.shape[2:]
    reach = kernel // 2 * dilation
    padded = F.pad(maps, (reach, reach, reach, reach))
    for top, left in product(range(0, 2 * reach + 1, dilation), repeat=2):
        yield padded[:, :, top : top + height, left : left + width]


def _mix(output: Tensor, weights: Tensor, values: Tensor, kernel: int, dilation: int) -> None:
    """Add the neighbours' values, by their weights [B, N, H, W], to the output [B, C, H, W]."""
    for weight, near in zip(weights.split(1, dim=1), _neighbours(values, kernel, dilation), strict=True):
        output.addcmul_(weight, near)


def _turn(pairs: Tensor, kernel: int, dilation: int) -> Tensor:
    """For each pixel and neighbour the value [B, N, H, W] that the neighbour holds for the pixel."""
    opposite = range(kernel**2 - 1, -1, -1)
    return torch.stack([near[:, n] for n, near in zip(opposite, _neighbours(pairs, kernel, dilation), strict=True)], 1)


def _scales(inverse: Tensor, kernel: int, dilation: int) -> Tensor:
    """Products [B, N, H, W] of each pixel's inverse norm with its neighbours'."""
    inverse = inverse.unsqueeze(dim=1)
    return inverse * torch.cat(list(_neighbours(inverse, kernel, dilation)), dim=1)


def _scale(values: Tensor, cosine: bool) -> Tensor:
    """Factors [B, H, W] of the vectors whose products are the similarities."""
    return _inverse_norms(values) if cosine else torch.ones_like(values[:, 0])


def _inverse_norms(values: Tensor) -> Tensor:
    return torch.linalg.vector_norm(values, dim=1).clamp(min=_LEAST_NORM).reciprocal()
