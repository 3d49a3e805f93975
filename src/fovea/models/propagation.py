"""Feature propagation: each pixel borrows the features of the neighbours that resemble it."""

from collections.abc import Iterator
from itertools import product
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from fovea.runtime.errors import FoveaError


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
        Propagated features [B, C, H, W], in the precision of `features`.

    Raises:
        FoveaError: `kernel_size` is even or not positive, `dilation` is not positive, or `similarity` is unknown.
    """
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise FoveaError(f"kernel_size={kernel_size} has no centre; give an odd number such as 5")
    if dilation < 1:
        raise FoveaError(f"dilation={dilation} is no distance; give 1 or more")
    if similarity not in ("dot", "cosine"):
        raise FoveaError(f"similarity={similarity} is unknown; choose dot or cosine")
    values = features.to(torch.promote_types(features.dtype, torch.float32))
    keys = F.normalize(values, dim=1) if similarity == "cosine" else values
    # Shifted views of one padded copy: unfolding the window would hold kernel_size ** 2 copies of the features.
    scores = torch.stack([(keys * near).sum(dim=1) for near in _neighbours(keys, kernel_size, dilation)])
    weights = scores.clamp(min=0).softmax(dim=0)
    output = torch.zeros_like(values)
    for weight, near in zip(weights, _neighbours(values, kernel_size, dilation), strict=True):
        output = output + weight.unsqueeze(dim=1) * near
    return output.to(features.dtype)


def _neighbours(features: Tensor, kernel_size: int, dilation: int) -> Iterator[Tensor]:
    """Views [B, C, H, W] of the zero-padded features, one for each offset of the window."""
    height, width = features.shape[2:]
    reach = kernel_size // 2 * dilation
    padded = F.pad(features, (reach, reach, reach, reach))
    for top, left in product(range(0, 2 * reach + 1, dilation), repeat=2):
        yield padded[:, :, top : top + height, left : left + width]
