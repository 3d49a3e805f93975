"""Feature propagation on a CPU, see `fovea.models.propagation`: loops of Numba on as many threads as PyTorch has.

The loops are compiled at the first call and stored on disk. They process the image row by row, so that their data stays
in the caches: the rows of the window in one or four channels (a band, with a margin of zeros beyond the border) and a
tile [N, W], a line for each of the N neighbors of the window. The inner loops run along the row, and the compiler
vectorizes them. The threads exist for one call. Numba's own threads would stay, do not survive a fork, and one of its
threading layers aborts the process if two Python threads use it.

Shapes: features [B, C, H, W], scores, weights and slopes [B, N, H, W], scale [B, H, W], all contiguous. Rows go from
`first` to `last` of an image in steps of the dilation, since these share their neighbors.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy import ndarray as Array
from torch import Tensor

from fovea.models.propagation_torch import inverse_norms
from fovea.runtime.compiled import announce, compiled

Rows = tuple[int, int, int]  # image, first and last
Window = tuple[int, int]  # kernel and dilation
Norms = tuple[Array, Array, bool]
_LANES = 4  # channels that are compared at a time, with their sum in registers
_ROWS = 8  # rows with shared neighbors for a thread at a time: enough to reuse data, few enough to balance threads


def forward(values: Tensor, kernel: int, dilation: int, cosine: bool) -> tuple[Tensor, Tensor]:
    """Compute `fovea.models.propagation_torch.forward` of contiguous features."""
    announce(_forward_rows, "propagation")
    batch, _, height, width = values.shape
    output, scores = torch.empty_like(values), values.new_empty(batch, kernel**2, height, width)
    inputs = values.numpy(), _scale(values, cosine), (kernel, dilation)
    _over_rows(lambda rows: _forward_rows(*inputs, rows, scores.numpy(), output.numpy()), values, dilation)
    return output, scores


def backward(grad: Tensor, values: Tensor, scores: Tensor, kernel: int, dilation: int, cosine: bool) -> Tensor:
    """Compute `fovea.models.propagation_torch.backward` of contiguous features and gradients."""
    announce(_backward_rows, "gradient of the propagation")
    output, weights, slope = torch.empty_like(values), torch.empty_like(scores), torch.empty_like(scores)
    features, window, pairs = (grad.numpy(), values.numpy()), (kernel, dilation), (weights.numpy(), slope.numpy())
    norms = _scale(values, cosine), scores.numpy(), cosine
    _over_rows(lambda rows: _slope_rows(*features, norms[1], window, rows, *pairs), values, dilation)
    _over_rows(lambda rows: _backward_rows(*features, norms, window, rows, *pairs, output.numpy()), values, dilation)
    return output


def _scale(values: Tensor, cosine: bool) -> Array:
    """Return the factors [B, H, W] of both vectors of a product."""
    return (inverse_norms(values) if cosine else torch.ones_like(values[:, 0])).numpy()


def _over_rows(job: Callable[[Rows], None], values: Tensor, dilation: int) -> None:
    """Call `job((image, first, last))` until all rows are done: those from `first` to `last` that share neighbors."""
    batch, _, height, _ = values.shape
    block = _ROWS * dilation
    pieces = [
        (image, first, min(start + block, height))
        for image in range(batch)
        for start in range(0, height, block)
        for first in range(start, min(start + dilation, height))
    ]
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for _ in pool.map(job, pieces):
            pass


# To vectorize sums, they may be regrouped; infinities and NaN are kept. The caller has the threads.
_compiled = compiled(fastmath={"reassoc", "contract", "nsz"}, error_model="numpy")


@_compiled
def _forward_rows(values: Array, scale: Array, window: Window, rows: Rows, scores: Array, out: Array) -> None:
    """Compute scores and propagated features of some rows of one image."""
    (kernel, dilation), (image, first, last) = window, rows
    band, weights = _bands(values, kernel, dilation), _tile(values, kernel)
    for y in range(first, last, dilation):
        _compare(values, values, kernel, dilation, image, y, band, weights)
        _rescale(scale, kernel, dilation, image, y, weights)
        scores[image, :, y] = weights
        _softmax(weights)
        out[image, :, y] = 0
        _mix(weights, values, kernel, dilation, image, y, band[0], out)


@_compiled
def _slope_rows(
    grad: Array, values: Array, scores: Array, window: Window, rows: Rows, weights: Array, slope: Array
) -> None:
    """Compute the weights of some rows and the gradients of their scores."""
    (kernel, dilation), (image, first, last) = window, rows
    band, weight, tile = _bands(values, kernel, dilation), _tile(values, kernel), _tile(values, kernel)
    mean = np.empty_like(tile[0])
    for y in range(first, last, dilation):
        weight[:] = scores[image, :, y]
        _softmax(weight)
        _compare(grad, values, kernel, dilation, image, y, band, tile)
        mean[:] = 0
        for n in range(len(tile)):
            for x in range(mean.size):
                mean[x] += weight[n, x] * tile[n, x]
        for n in range(len(tile)):
            score = scores[image, n, y]
            for x in range(mean.size):
                passes = score[x] > 0
                tile[n, x] = weight[n, x] * (tile[n, x] - mean[x]) if passes else tile.dtype.type(0)
        weights[image, :, y] = weight
        slope[image, :, y] = tile


@_compiled
def _backward_rows(
    grad: Array, values: Array, norms: Norms, window: Window, rows: Rows, weights: Array, slope: Array, out: Array
) -> None:
    """Compute the gradients of the features of some rows from the slopes of all rows.

    `norms` are the scale, the scores and whether they are cosines.
    """
    (kernel, dilation), (image, first, last), (scale, scores, cosine) = window, rows, norms
    band, turned, pull = _bands(values, kernel, dilation), _tile(values, kernel), _tile(values, kernel)
    for y in range(first, last, dilation):
        _turn(weights, kernel, dilation, image, y, turned)
        out[image, :, y] = 0
        _mix(turned, grad, kernel, dilation, image, y, band[0], out)
        # A score belongs to both of its pixels.
        _turn(slope, kernel, dilation, image, y, pull)
        for n in range(len(pull)):
            pull[n] += slope[image, n, y]
        if cosine:
            _shorten(scale, scores, kernel, dilation, image, y, pull)
        _mix(pull, values, kernel, dilation, image, y, band[0], out)


@_compiled
def _bands(values: Array, kernel: int, dilation: int) -> Array:
    return np.zeros((_LANES, kernel, values.shape[3] + (kernel - 1) * dilation), values.dtype)


@_compiled
def _tile(values: Array, kernel: int) -> Array:
    return np.empty((kernel * kernel, values.shape[3]), values.dtype)


@_compiled
def _load(values: Array, image: int, channel: int, y: int, kernel: int, dilation: int, band: Array) -> None:
    """Load the rows of the window around row `y` between the margins of the band [kernel, W + margins]."""
    height, width = values.shape[2:]
    margin = kernel // 2 * dilation
    for i in range(kernel):
        line = band[i, margin : margin + width]
        row = y - margin + i * dilation
        if 0 <= row < height:
            source = values[image, channel, row]
            for x in range(width):
                line[x] = source[x]
        else:
            line[:] = 0


@_compiled
def _compare(
    left: Array, right: Array, kernel: int, dilation: int, image: int, y: int, band: Array, tile: Array
) -> None:
    """Compute the dot products of a row of `left` with the neighbors in `right`."""
    channels, width = left.shape[1], left.shape[3]
    lines = np.zeros((_LANES, width), left.dtype)
    tile[:] = 0
    for channel in range(0, channels, _LANES):
        for lane in range(_LANES):
            if channel + lane < channels:
                lines[lane] = left[image, channel + lane, y]
                _load(right, image, channel + lane, y, kernel, dilation, band[lane])
            else:
                lines[lane] = 0  # multiplied with old values of the band
        a, b, c, d = lines[0], lines[1], lines[2], lines[3]
        for n in range(kernel * kernel):
            i, start = n // kernel, n % kernel * dilation
            e, f, g, h = (
                band[0, i, start : start + width],
                band[1, i, start : start + width],
                band[2, i, start : start + width],
                band[3, i, start : start + width],
            )
            line = tile[n]
            for x in range(width):
                line[x] += a[x] * e[x] + b[x] * f[x] + c[x] * g[x] + d[x] * h[x]


@_compiled
def _mix(tile: Array, values: Array, kernel: int, dilation: int, image: int, y: int, band: Array, out: Array) -> None:
    """Add the neighbors, weighted by the tile, to a row of `out`."""
    channels, width = values.shape[1], values.shape[3]
    flat = band.reshape(-1)
    starts = np.array([i * band.shape[1] + j * dilation for i in range(kernel) for j in range(kernel)])
    for channel in range(channels):
        _load(values, image, channel, y, kernel, dilation, band)
        line = out[image, channel, y]
        weight, near = tile[0], flat[starts[0] : starts[0] + width]
        for x in range(width):
            line[x] += weight[x] * near[x]
        # The square of an odd number is one more than a multiple of four.
        for n in range(1, kernel * kernel, 4):
            a, b, c, d = tile[n], tile[n + 1], tile[n + 2], tile[n + 3]
            e, f = flat[starts[n] : starts[n] + width], flat[starts[n + 1] : starts[n + 1] + width]
            g, h = flat[starts[n + 2] : starts[n + 2] + width], flat[starts[n + 3] : starts[n + 3] + width]
            for x in range(width):
                line[x] += a[x] * e[x] + b[x] * f[x] + c[x] * g[x] + d[x] * h[x]


@_compiled
def _softmax(tile: Array) -> None:
    """Replace the scores by the softmax over the neighbors of their positive parts."""
    size = tile.shape[1]
    top, total = np.zeros(size, tile.dtype), np.zeros(size, tile.dtype)
    for n in range(len(tile)):
        for x in range(size):
            score = tile[n, x]
            tile[n, x] = tile.dtype.type(0) if score < 0 else score  # NaN stays
            top[x] = max(top[x], score)
    for n in range(len(tile)):
        for x in range(size):
            tile[n, x] = np.exp(tile[n, x] - top[x])
            total[x] += tile[n, x]
    for n in range(len(tile)):
        for x in range(size):
            tile[n, x] /= total[x]


@_compiled
def _turn(source: Array, kernel: int, dilation: int, image: int, y: int, tile: Array) -> None:
    """Get the values that the neighbors hold for the pixels of row `y`, in the opposite direction."""
    height, width = source.shape[2:]
    for n in range(len(tile)):
        row = y + (n // kernel - kernel // 2) * dilation
        right = (n % kernel - kernel // 2) * dilation
        low, high = max(0, -right), max(0, min(width, width - right))
        tile[n] = 0
        if 0 <= row < height and low < high:
            tile[n, low:high] = source[image, len(tile) - 1 - n, row, low + right : high + right]


@_compiled
def _rescale(scale: Array, kernel: int, dilation: int, image: int, y: int, tile: Array) -> None:
    """Multiply by the scale of both pixels of each pair."""
    height, width = scale.shape[1:]
    for n in range(len(tile)):
        row = y + (n // kernel - kernel // 2) * dilation
        right = (n % kernel - kernel // 2) * dilation
        if 0 <= row < height:
            for x in range(max(0, -right), min(width, width - right)):
                tile[n, x] *= scale[image, y, x] * scale[image, row, x + right]


@_compiled
def _shorten(scale: Array, scores: Array, kernel: int, dilation: int, image: int, y: int, tile: Array) -> None:
    """Convert gradients of cosines to factors of the features; a cosine does not change along its own vector."""
    along = np.zeros_like(tile[0])
    for n in range(len(tile)):
        score = scores[image, n, y]
        for x in range(along.size):
            along[x] += tile[n, x] * score[x]
    _rescale(scale, kernel, dilation, image, y, tile)
    center = tile[len(tile) // 2]
    for x in range(along.size):
        center[x] -= along[x] * scale[image, y, x] ** 2
