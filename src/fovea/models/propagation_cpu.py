"""Feature propagation on a CPU: the compiled rows of `fovea.models.propagation_kernels`, on as many threads as PyTorch.

The threads live for one call. Numba's own would stay, could not be used after a fork, and one of its layers ends the
process where two threads of Python use it.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from fovea.models import propagation_kernels as kernels

_ROWS = 8  # a thread takes at a time; one less than all of its neighbours would be read by two threads


def forward(values: Tensor, scale: Tensor, kernel: int, dilation: int) -> tuple[Tensor, Tensor]:
    """Propagated features and scores.

    Args:
        values: float32 or float64 [B, C, H, W], contiguous, as are the others.
        scale: Factors [B, H, W] of both vectors of a product.
        kernel: Side of the window in samples.
        dilation: Distance of the samples in pixels.

    Returns:
        Features [B, C, H, W] and the scores [B, kernel ** 2, H, W], of either sign.
    """
    batch, _, height, width = values.shape
    output, scores = torch.empty_like(values), values.new_empty(batch, kernel**2, height, width)
    inputs, outputs = (values.numpy(), scale.numpy(), kernel, dilation), (scores.numpy(), output.numpy())
    _over_rows(lambda *rows: kernels.forward(*inputs, *rows, *outputs), values, dilation)
    return output, scores


def backward(
    grad: Tensor, values: Tensor, scale: Tensor, scores: Tensor, kernel: int, dilation: int, cosine: bool
) -> Tensor:
    """Gradient [B, C, H, W] with regard to `values` of a gradient `grad` [B, C, H, W] of the propagated features."""
    output, weights, slope = torch.empty_like(values), torch.empty_like(scores), torch.empty_like(scores)
    given, features, held = grad.numpy(), values.numpy(), scores.numpy()
    pairs, out = (weights.numpy(), slope.numpy()), output.numpy()
    _over_rows(lambda *rows: kernels.slopes(given, features, held, kernel, dilation, *rows, *pairs), values, dilation)
    inputs = given, features, scale.numpy(), held, *pairs, cosine, kernel, dilation
    _over_rows(lambda *rows: kernels.backward(*inputs, *rows, out), values, dilation)
    return output


def _over_rows(job: Callable[[int, int, int], None], values: Tensor, dilation: int) -> None:
    """Call `job(image, first, last)` until every row is done: those from `first` to `last` that share neighbours."""
    batch, _, height, _ = values.shape
    block = _ROWS * dilation
    pieces = [
        (image, first, min(start + block, height))
        for image in range(batch)
        for start in range(0, height, block)
        for first in range(start, min(start + dilation, height))
    ]
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for _ in pool.map(lambda piece: job(*piece), pieces):
            pass
