"""Feature propagation on a CPU: the compiled rows of `fovea.models.propagation_kernels`, on as many threads as PyTorch.

The threads live for one call. Numba's own would stay, could not be used after a fork, and one of its layers ends the
process where two threads of Python use it.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from fovea.models import propagation_kernels as kernels
from fovea.models.propagation_torch import inverse_norms

_ROWS = 8  # of shared neighbours, a thread takes at a time: enough to reuse what it read, few enough to share out


def forward(values: Tensor, kernel: int, dilation: int, cosine: bool) -> tuple[Tensor, Tensor]:
    """As `fovea.models.propagation_torch.forward`, of contiguous features."""
    batch, _, height, width = values.shape
    output, scores = torch.empty_like(values), values.new_empty(batch, kernel**2, height, width)
    inputs, outputs = (values.numpy(), _scale(values, cosine), kernel, dilation), (scores.numpy(), output.numpy())
    _over_rows(lambda *rows: kernels.forward(*inputs, *rows, *outputs), values, dilation)
    return output, scores


def backward(grad: Tensor, values: Tensor, scores: Tensor, kernel: int, dilation: int, cosine: bool) -> Tensor:
    """As `fovea.models.propagation_torch.backward`, of contiguous features and gradients."""
    output, weights, slope = torch.empty_like(values), torch.empty_like(scores), torch.empty_like(scores)
    given, features, held = grad.numpy(), values.numpy(), scores.numpy()
    pairs, out = (weights.numpy(), slope.numpy()), output.numpy()
    _over_rows(lambda *rows: kernels.slopes(given, features, held, kernel, dilation, *rows, *pairs), values, dilation)
    inputs = given, features, _scale(values, cosine), held, *pairs, cosine, kernel, dilation
    _over_rows(lambda *rows: kernels.backward(*inputs, *rows, out), values, dilation)
    return output


def _scale(values: Tensor, cosine: bool) -> np.ndarray:
    """Factors [B, H, W] of both vectors of a product."""
    return (inverse_norms(values) if cosine else torch.ones_like(values[:, 0])).numpy()


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
