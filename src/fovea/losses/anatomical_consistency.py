"""Contrastive anatomical consistency: modalities of one anatomy agree on its structures."""

from collections.abc import Sequence
from itertools import combinations, combinations_with_replacement
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from fovea.losses.ntxent import ntxent, single

LEAST_MASS = 1e-3  # of a class, in voxels of the features: dividing by less would blow its gradient up
SMOOTH = 1e-5  # of the overlap, as in MONAI's DiceLoss: a class that is nowhere agrees, and has no gradient


def overlap_consistency(probabilities: Sequence[Tensor]) -> Tensor:
    """1 - soft Dice between the class probabilities of modalities; it needs them roughly aligned.

    For each foreground class, over the voxels of each volume,

        1 - 2 sum P^a P^b / (sum P^a P^a + sum P^b P^b),

    then the mean over classes, volumes and pairs of modalities. With the squares of Milletari et al., "V-Net", 3DV
    2016, equal probabilities agree fully, sure or not. Beyond its inputs it takes the memory of their gradient alone.
    Zhou et al., "Robust Semi-Supervised Multimodal Medical Image Segmentation via Cross Modality Collaboration",
    MICCAI 2024.

    Args:
        probabilities: [B, K, D, H, W] of each modality, K > 1 with the background first; all receive the gradient.

    Returns:
        A scalar in [0, 1], never computed in half precision.

    Raises:
        ValueError: fewer than two modalities, no class beside the background, or shapes that differ.
    """
    _check(probabilities)
    if len({each.shape for each in probabilities}) > 1:
        raise ValueError(f"probabilities of one shape are compared: {[tuple(each.shape) for each in probabilities]}")
    with torch.autocast(probabilities[0].device.type, enabled=False):
        sums = _Products.apply(*(single(each) for each in probabilities))[..., 1:]
    pairs = combinations(range(len(probabilities)), 2)
    dice = [(2 * sums[i, j] + SMOOTH) / (sums[i, i] + sums[j, j] + SMOOTH) for i, j in pairs]
    return 1 - torch.stack(dice).mean()


def prototype_consistency(
    features: Sequence[Tensor], probabilities: Sequence[Tensor], temperature: float = 0.5
) -> Tensor:
    """NT-Xent between the prototypes of classes in modalities; how these lie to each other does not matter.

    A prototype is the mean of the features, weighted by the probabilities of its class, which are pooled to the
    features' grid; the background has one too. The same class in the other modality is its positive, every other class
    of either a negative. See `overlap_consistency` for the source.

    Args:
        features: [B, C, d, h, w] of each modality.
        probabilities: [B, K, D, H, W] of each modality; both receive the gradient.
        temperature: See `fovea.losses.ntxent.ntxent`.

    Returns:
        A scalar.

    Raises:
        ValueError: fewer than two modalities, or no class beside the background.
    """
    _check(probabilities)
    prototypes = [_prototypes(*pair) for pair in zip(features, probabilities, strict=True)]
    return torch.stack([ntxent(a, b, temperature) for a, b in combinations(prototypes, 2)]).mean()


class _Products(torch.autograd.Function):
    """Sums over the voxels of the product of each two of M tensors [B, K, D, H, W]: [M, M, B, K].

    Autograd would keep products of the size of the inputs, and copies of what becomes their gradient. The background is
    summed along, since the rest of a batch is no contiguous memory and would be copied.
    """

    @staticmethod
    def forward(ctx: Any, *given: Tensor) -> Tensor:
        ctx.save_for_backward(*given)
        slices = [each.flatten(3) for each in given]  # one by one they round less than all voxels at once
        sums = given[0].new_empty(len(given), len(given), *given[0].shape[:2])
        for i, j in combinations_with_replacement(range(len(given)), 2):
            sums[i, j] = sums[j, i] = torch.linalg.vecdot(slices[i], slices[j]).sum(dim=2)
        return sums

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        given = ctx.saved_tensors
        factors = (grad + grad.transpose(0, 1))[..., None, None, None]
        gradients: list[Tensor | None] = [None] * len(given)
        for i in (index for index, needed in enumerate(ctx.needs_input_grad) if needed):
            gradients[i] = total = given[i] * factors[i, i]
            for j in (index for index in range(len(given)) if index != i):
                total.addcmul_(given[j], factors[i, j])
        return tuple(gradients)


def _prototypes(features: Tensor, probability: Tensor) -> Tensor:
    """Weighted means [B, K, C] of features [B, C, d, h, w]."""
    depth, height, width = features.shape[2:]
    weights = F.adaptive_avg_pool3d(single(probability), (depth, height, width)).flatten(2)
    share = weights / weights.sum(dim=2, keepdim=True).clamp_min(LEAST_MASS)
    with torch.autocast(features.device.type, enabled=False):
        return share @ single(features).flatten(2).mT


def _check(probabilities: Sequence[Tensor]) -> None:
    if len(probabilities) < 2 or any(each.shape[1] < 2 for each in probabilities):
        shapes = [tuple(each.shape) for each in probabilities]
        raise ValueError(f"two or more modalities and classes are needed: {shapes}")
