"""Feature propagation: each pixel gets features of the neighbors that are similar to it.

Kernels of Triton compute it on a GPU (`fovea.models.propagation_triton`). Elsewhere, and for more than 256 channels or
float64, `fovea::propagate` and `fovea::propagate_backward` are operators of PyTorch, with loops compiled by Numba on a
CPU and tensor operations on other devices. They keep the features and one score for each pixel and neighbor. The usual
form, which unfolds the window, keeps a copy of the features for each neighbor.
"""

import logging
from functools import lru_cache
from typing import Any, Literal, cast

import torch
from torch import Tensor

from fovea.losses.precision import single
from fovea.models import propagation_torch
from fovea.runtime.errors import one_paragraph

log = logging.getLogger(__name__)


def propagate(
    features: Tensor, kernel_size: int = 5, dilation: int = 2, similarity: Literal["dot", "cosine"] = "dot"
) -> Tensor:
    """Return features [B, C, H, W] in which each pixel has a mean of its neighborhood, weighted by similarity.

    For pixel p and the neighbors n of a dilated square window, p itself included,

        s_n = max(sim(f_p, f_n), 0),    w = softmax_n(s),    out_p = sum_n w_n f_n.

    Neighbors beyond the border are zeros, with s = 0. Zhong et al., "Weakly-supervised Medical Image
    Segmentation with Gaze Annotations", MICCAI 2024; the paper writes cosine similarity, its release uses the dot
    product.

    Args:
        features: [B, C, H, W], differentiable once. Half precision is computed in float32, in which a dot product does
            not overflow, and returned.
        kernel_size: Side of the window in samples, odd.
        dilation: Distance between the samples of the window in pixels.
        similarity: `dot` or `cosine`.

    A ValueError if `features` have other axes, `kernel_size` is even or not positive, `dilation` is not positive, or
    `similarity` is unknown.
    """
    if features.dim() != 4:
        raise ValueError(f"features must be [B, C, H, W], got {list(features.shape)}")
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise ValueError(f"kernel_size must be odd and positive, got {kernel_size}")
    if dilation < 1:
        raise ValueError(f"dilation must be at least 1, got {dilation}")
    if similarity not in ("dot", "cosine"):
        raise ValueError(f"similarity must be dot or cosine, got {similarity}")
    fits = features.dtype in (torch.float32, torch.bfloat16, torch.float16) and features.shape[1] <= 256
    fits = fits and 0 < features.numel() < 2**31 * len(features)
    if features.is_cuda and fits and triton_runs(features.device):
        from fovea.models.propagation_triton import Propagation

        return cast("Tensor", Propagation.apply(features, kernel_size, dilation, similarity == "cosine"))
    values = single(features).contiguous()
    output, _ = _forward(values, kernel_size, dilation, similarity == "cosine")
    return output.to(features.dtype)


@lru_cache
def triton_runs(device: torch.device) -> bool:
    """Return whether Triton compiles for a device, which it needs a C compiler and Python's headers for."""
    try:
        from fovea.models.propagation_triton import Propagation

        Propagation.apply(torch.zeros(1, 1, 1, 1, device=device), 1, 1, False)
    except Exception as error:  # an import, a compiler or a driver may raise anything
        reason = f"{type(error).__name__}: {one_paragraph(str(error))[:200]}"
        log.warning("propagation: Triton does not run here, plain tensor operations are slower (%s)", reason)
        return False
    return True


_forward = torch.library.custom_op("fovea::propagate", propagation_torch.forward, mutates_args=())
_backward = torch.library.custom_op("fovea::propagate_backward", propagation_torch.backward, mutates_args=())


@_forward.register_kernel("cpu")
def _forward_cpu(values: Tensor, kernel: int, dilation: int, cosine: bool) -> tuple[Tensor, Tensor]:
    from fovea.models import propagation_cpu  # imports Numba, which only training needs

    return propagation_cpu.forward(values, kernel, dilation, cosine)


@_backward.register_kernel("cpu")
def _backward_cpu(grad: Tensor, values: Tensor, scores: Tensor, kernel: int, dilation: int, cosine: bool) -> Tensor:
    from fovea.models import propagation_cpu

    return propagation_cpu.backward(grad, values, scores, kernel, dilation, cosine)


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
