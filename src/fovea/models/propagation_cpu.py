"""Feature propagation on a CPU: the loops of `fovea.models.propagation_kernels` on as many threads as PyTorch has.

The threads exist for one call. Numba's own threads would stay, do not survive a fork, and one of its threading layers
aborts the process if two Python threads use it.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from fovea.models import propagation_kernels as kernels
from fovea.models.propagation_torch import inverse_norms
from fovea.runtime.compiled import announce

_ROWS = 8  # rows with shared neighbors for a thread at a time: enough to reuse data, few enough to balance threads


def forward(values: Tensor, kernel: int, dilation: int, cosine: bool) -> tuple[Tensor, Tensor]:
    """Compute `fovea.models.propagation_torch.forward` of contiguous features."""
    announce(kernels.forward, "propagation")
    batch, _, height, width = values.shape
    output, scores = torch.empty_like(values), values.new_empty(batch, kernel**2, height, width)
    inputs = values.numpy(), _scale(values, cosine), (kernel, dilation)
    _over_rows(lambda rows: kernels.forward(*inputs, rows, scores.numpy(), output.numpy()), values, dilation)
    return output, scores


def backward(grad: Tensor, values: Tensor, scores: Tensor, kernel: int, dilation: int, cosine: bool) -> Tensor:
    """Compute `fovea.models.propagation_torch.backward` of contiguous features and gradients."""
    announce(kernels.backward, "gradient of the propagation")
    output, weights, slope = torch.empty_like(values), torch.empty_like(scores), torch.empty_like(scores)
    features, window, pairs = (grad.numpy(), values.numpy()), (kernel, dilation), (weights.numpy(), slope.numpy())
    norms = _scale(values, cosine), scores.numpy(), cosine
    _over_rows(lambda rows: kernels.slopes(*features, norms[1], window, rows, *pairs), values, dilation)
    _over_rows(lambda rows: kernels.backward(*features, norms, window, rows, *pairs, output.numpy()), values, dilation)
    return output


def _scale(values: Tensor, cosine: bool) -> np.ndarray:
    """Return the factors [B, H, W] of both vectors of a product."""
    return (inverse_norms(values) if cosine else torch.ones_like(values[:, 0])).numpy()


def _over_rows(job: Callable[[kernels.Rows], None], values: Tensor, dilation: int) -> None:
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
