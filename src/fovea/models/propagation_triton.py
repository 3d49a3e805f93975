"""Feature propagation on a GPU by two kernels of Triton; see `fovea.models.propagation`.

A program holds the features of a few pixels [C, P] and visits the neighbors of the window once. The softmax is computed
on the way (Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018), and only its normalizer is kept:
the backward pass computes the scores again. There, each pixel gathers what it gets as a center and as a neighbor, since
the score of a pair is the same in both directions. So nothing is added atomically, and equal inputs give equal bits.
"""
# mypy: disable-error-code="no-untyped-def"

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from fovea.models.propagation_torch import inverse_norms

FORWARD = {"tile": 4096, "num_warps": 8}  # numbers of a tile [C, P]
BACKWARD = {"tile": 2048, "num_warps": 4}

# With an aligned stride, a thread would take four pixels, which the shifts of the window make slower.
_jit = triton.jit(do_not_specialize_on_alignment=["channel_stride"])


class Propagation(torch.autograd.Function):
    """Propagate features [B, C, H, W] of float32, float16 or bfloat16; 256 channels at most fit into the registers.

    Everything is computed in float32 and stored in the precision of the features.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, kernel: int, dilation: int, cosine: bool) -> Tensor:
        """Return the propagated features, in the layout of the features."""
        last = features.is_contiguous(memory_format=torch.channels_last)
        values = features if last else features.contiguous()
        output = torch.empty_like(values, dtype=torch.float32)  # the gradient needs more than half precision
        normalizer = torch.empty_like(output[:, 0], memory_format=torch.contiguous_format)
        inverse = inverse_norms(values.float()) if cosine else normalizer  # not read
        ctx.window = kernel, dilation, cosine
        _launch(_forward, FORWARD, (values, inverse, output, normalizer), ctx.window)
        ctx.save_for_backward(values, inverse, output, normalizer)
        return output.to(values.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        """Return the gradient of the features."""
        values, inverse, output, normalizer = ctx.saved_tensors
        grad = grad.contiguous() if values.is_contiguous() else grad.contiguous(memory_format=torch.channels_last)
        mean, result = torch.empty_like(normalizer), torch.empty_like(values)
        _launch(_means, FORWARD, (grad, output, mean), ())
        _launch(_backward, BACKWARD, (grad, values, inverse, normalizer, mean, result), ctx.window)
        return result, None, None, None


def _launch(kernel: Any, size: dict[str, int], tensors: tuple[Tensor, ...], window: tuple[int, ...]) -> None:
    """Run a kernel over all pixels; the first tensor tells shape and layout of the features."""
    batch, channels, height, width = tensors[0].shape
    strides = (height * width, 1) if tensors[0].is_contiguous() else (1, channels)
    rows = triton.next_power_of_2(channels)
    pixels = min(max(size["tile"] // rows, 16), 256)
    grid = triton.cdiv(height * width, pixels), batch
    with torch.cuda.device_of(tensors[0]):
        kernel[grid](*tensors, height, width, *strides, *window, channels, rows, pixels, num_warps=size["num_warps"])


@_jit
def _forward(
    values,
    inverse,
    output,
    normalizer,
    height,
    width,
    channel_stride,
    pixel_stride,
    KERNEL: tl.constexpr,
    DILATION: tl.constexpr,
    COSINE: tl.constexpr,
    CHANNELS: tl.constexpr,
    ROWS: tl.constexpr,
    PIXELS: tl.constexpr,
):
    first, channel, pixel, here = _place(height, width, CHANNELS, ROWS, PIXELS)
    values += first * CHANNELS
    center = _load(values, channel, pixel, here, channel_stride, pixel_stride, CHANNELS)
    if COSINE:
        scale = tl.load(inverse + first + pixel, here, 0.0)
    top = tl.zeros([PIXELS], tl.float32)
    total = tl.zeros([PIXELS], tl.float32)
    mixed = tl.zeros([ROWS, PIXELS], tl.float32)
    for n in range(KERNEL * KERNEL):
        near, inside = _neighbor(n, pixel, here, height, width, KERNEL, DILATION)
        other = _load(values, channel, near, inside, channel_stride, pixel_stride, CHANNELS)
        score = tl.sum(center * other, axis=0)  # 0 beyond the border
        if COSINE:
            score *= scale * tl.load(inverse + first + near, inside, 0.0)
        score = tl.where(score < 0, 0.0, score)  # NaN stays
        higher = tl.maximum(top, score)
        weight = tl.exp(score - higher)
        fade = tl.exp(top - higher)
        mixed = mixed * fade[None, :] + other * weight[None, :]
        total = total * fade + weight
        top = higher
    mixed /= total[None, :]
    _store(output + first * CHANNELS, mixed, channel, pixel, here, channel_stride, pixel_stride, CHANNELS)
    tl.store(normalizer + first + pixel, top + tl.log(total), here)


@_jit
def _means(
    grad,
    output,
    mean,
    height,
    width,
    channel_stride,
    pixel_stride,
    CHANNELS: tl.constexpr,
    ROWS: tl.constexpr,
    PIXELS: tl.constexpr,
):
    """Compute sum_n w_n (g . f_n) = g . out, which the gradient of the softmax needs."""
    first, channel, pixel, here = _place(height, width, CHANNELS, ROWS, PIXELS)
    pull = _load(grad + first * CHANNELS, channel, pixel, here, channel_stride, pixel_stride, CHANNELS)
    mixed = _load(output + first * CHANNELS, channel, pixel, here, channel_stride, pixel_stride, CHANNELS)
    tl.store(mean + first + pixel, tl.sum(pull * mixed, axis=0), here)


@_jit
def _backward(
    grad,
    values,
    inverse,
    normalizer,
    mean,
    result,
    height,
    width,
    channel_stride,
    pixel_stride,
    KERNEL: tl.constexpr,
    DILATION: tl.constexpr,
    COSINE: tl.constexpr,
    CHANNELS: tl.constexpr,
    ROWS: tl.constexpr,
    PIXELS: tl.constexpr,
):
    """Compute, with s the score of a pair, w its weights at both ends, and m the means,

    sum_n w_np g_n + [s > 0] (w_pn (g_p . f_n - m_p) + w_np (g_n . f_p - m_n)) f_n.
    """
    first, channel, pixel, here = _place(height, width, CHANNELS, ROWS, PIXELS)
    grad, values = grad + first * CHANNELS, values + first * CHANNELS
    center = _load(values, channel, pixel, here, channel_stride, pixel_stride, CHANNELS)
    center_grad = _load(grad, channel, pixel, here, channel_stride, pixel_stride, CHANNELS)
    center_normalizer = tl.load(normalizer + first + pixel, here, 0.0)
    center_mean = tl.load(mean + first + pixel, here, 0.0)
    if COSINE:
        scale = tl.load(inverse + first + pixel, here, 0.0)
        along = tl.zeros([PIXELS], tl.float32)
    total = tl.zeros([ROWS, PIXELS], tl.float32)
    for n in range(KERNEL * KERNEL):
        near, inside = _neighbor(n, pixel, here, height, width, KERNEL, DILATION)
        other = _load(values, channel, near, inside, channel_stride, pixel_stride, CHANNELS)
        other_grad = _load(grad, channel, near, inside, channel_stride, pixel_stride, CHANNELS)
        score = tl.sum(center * other, axis=0)
        there = tl.sum(center_grad * other, axis=0) - center_mean
        back = tl.sum(other_grad * center, axis=0) - tl.load(mean + first + near, inside, 0.0)
        if COSINE:
            both = scale * tl.load(inverse + first + near, inside, 0.0)
            score *= both
        weight, slope = _slope(score, there, back, center_normalizer, tl.load(normalizer + first + near, inside, 0.0))
        if COSINE:
            along += slope * score
            slope *= both
        total += other_grad * weight[None, :] + other * slope[None, :]
    if COSINE:  # a cosine does not change along its own vector
        total -= center * (along * scale * scale)[None, :]
    _store(result + first * CHANNELS, total, channel, pixel, here, channel_stride, pixel_stride, CHANNELS)


@triton.jit
def _slope(score, there, back, normalizer, near_normalizer):
    """Return the weights of pixels at their neighbors, and the gradients of their common scores."""
    positive = tl.where(score < 0, 0.0, score)
    weight = tl.exp(positive - near_normalizer)
    return weight, tl.where(score > 0, tl.exp(positive - normalizer) * there + weight * back, 0.0)


@triton.jit
def _place(height, width, CHANNELS: tl.constexpr, ROWS: tl.constexpr, PIXELS: tl.constexpr):
    """Return the first pixel of the image of this program, its channels and pixels, and which pixels exist."""
    pixel = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    return tl.program_id(1).to(tl.int64) * (height * width), tl.arange(0, ROWS), pixel, pixel < height * width


@triton.jit
def _neighbor(n, pixel, here, height, width, KERNEL: tl.constexpr, DILATION: tl.constexpr):
    """Return the neighbors n of the pixels, and which of them are inside the image."""
    down = (n // KERNEL - KERNEL // 2) * DILATION
    right = (n % KERNEL - KERNEL // 2) * DILATION
    row = pixel // width + down
    column = pixel % width + right
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    return pixel + down * width + right, here & inside


@triton.jit
def _load(start, channel, pixel, wanted, channel_stride, pixel_stride, CHANNELS: tl.constexpr):
    """Return numbers [C, P] in float32, 0 for pixels that are not wanted."""
    at = channel[:, None] * channel_stride + pixel[None, :] * pixel_stride
    return tl.load(start + at, (channel < CHANNELS)[:, None] & wanted[None, :], 0.0).to(tl.float32)


@triton.jit
def _store(start, numbers, channel, pixel, wanted, channel_stride, pixel_stride, CHANNELS: tl.constexpr):
    at = channel[:, None] * channel_stride + pixel[None, :] * pixel_stride
    tl.store(start + at, numbers, (channel < CHANNELS)[:, None] & wanted[None, :])
