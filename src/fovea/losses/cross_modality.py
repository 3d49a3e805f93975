"""Losses of cross-modality collaboration: channels and structures have one meaning in all modalities.

Zhou et al., "Robust Semi-Supervised Multimodal Medical Image Segmentation via Cross Modality Collaboration", MICCAI
2024.
"""

from collections.abc import Callable, Sequence
from itertools import combinations, combinations_with_replacement
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from fovea.losses.precision import LEAST_NORM, single

POOLS: dict[int, Callable[..., Tensor]] = {4: F.adaptive_avg_pool2d, 5: F.adaptive_avg_pool3d}
LEAST_MASS = 1e-3  # of a class, in voxels of the features: to divide by less would make its gradient explode
SMOOTH = 1e-5  # of the overlap, as in MONAI's DiceLoss: an absent class agrees and has no gradient


def semantic_consistency(features: Sequence[Tensor], side: int, temperature: float) -> Tensor:
    """Return the NT-Xent between the channels of modalities, described by where they are active.

    The descriptor of a channel is its adaptive average pooling to `side` cells along each axis, at unit norm. The same
    channel of the other modality is the positive, all other channels of both are negatives. For more than two
    modalities, it is the mean over pairs. The paper compares runs of voxels in place of pooled descriptors, with a
    hundred times the memory.

    Args:
        features: [B, C, D, H, W] of each modality, two or more. They may differ in D, H and W.
        side: Cells of the grid along each axis, 2 or more: with one cell, unit norm would leave only a sign.
        temperature: That of `ntxent`.

    A ValueError for fewer than two modalities, a smaller side, or features of one voxel.
    """
    if len(features) < 2 or side < 2 or any(values.shape[2:].numel() < 2 for values in features):
        shapes = [tuple(values.shape) for values in features]
        raise ValueError(f"features must be of 2 or more modalities and voxels, side at least 2, got {shapes}, {side}")
    described = [pooled(single(values), [side] * (values.dim() - 2)).flatten(2) for values in features]
    return torch.stack([ntxent(*pair, temperature) for pair in combinations(described, 2)]).mean()


def overlap_consistency(probabilities: Sequence[Tensor]) -> Tensor:
    """Return 1 - soft Dice between the class probabilities of modalities, which must be roughly aligned.

    For each foreground class, over the voxels of each volume,

        1 - 2 sum P^a P^b / (sum P^a P^a + sum P^b P^b),

    then the mean over classes, volumes and pairs of modalities. With the squares of Milletari et al., "V-Net", 3DV
    2016, equal probabilities agree fully, certain or not. Its memory is that of its inputs and their gradients.

    Args:
        probabilities: [B, K, D, H, W] of each modality, two or more of one shape, K > 1 with the background first; all
            get a gradient.

    Returns:
        A scalar in [0, 1], computed in float32 or better.

    A ValueError for fewer than two modalities, no class beside the background, or different shapes.
    """
    _check(probabilities)
    if len({values.shape for values in probabilities}) > 1:
        raise ValueError(f"probabilities must have one shape, got {[tuple(values.shape) for values in probabilities]}")
    with torch.autocast(probabilities[0].device.type, enabled=False):
        sums = _Products.apply(*map(single, probabilities))[..., 1:]
    pairs = combinations(range(len(probabilities)), 2)
    dice = [(2 * sums[i, j] + SMOOTH) / (sums[i, i] + sums[j, j] + SMOOTH) for i, j in pairs]
    return 1 - torch.stack(dice).mean()


def prototype_consistency(features: Sequence[Tensor], probabilities: Sequence[Tensor], temperature: float) -> Tensor:
    """Return the NT-Xent between the prototypes of classes in modalities, which need no alignment.

    A prototype is the mean of the features, weighted by the probabilities of its class, which are pooled to the grid of
    the features; the background has one too. The same class in the other modality is the positive, all other classes of
    both modalities are negatives.

    Args:
        features: [B, C, d, h, w] of each modality, two or more.
        probabilities: [B, K, D, H, W] of each modality, K > 1; both get a gradient.
        temperature: That of `ntxent`.

    A ValueError for fewer than two modalities, or no class beside the background.
    """
    _check(probabilities)
    prototypes = [_prototypes(*pair) for pair in zip(features, probabilities, strict=True)]
    return torch.stack([ntxent(a, b, temperature) for a, b in combinations(prototypes, 2)]).mean()


class _Products(torch.autograd.Function):
    """The sums over voxels of the products of all pairs of M tensors [B, K, D, H, W]: [M, M, B, K].

    Autograd takes 2.5 times the memory, for products of the size of the inputs and copies of their gradients. The sums
    include the background: without it, the classes of a batch are not contiguous and would be copied.
    """

    @staticmethod
    def forward(ctx: Any, *inputs: Tensor) -> Tensor:
        ctx.save_for_backward(*inputs)
        slices = [values.flatten(3) for values in inputs]  # sums by slice round less than over all voxels
        sums = inputs[0].new_empty(len(inputs), len(inputs), *inputs[0].shape[:2])
        for i, j in combinations_with_replacement(range(len(inputs)), 2):
            sums[i, j] = sums[j, i] = torch.linalg.vecdot(slices[i], slices[j]).sum(dim=2)
        return sums

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        inputs = ctx.saved_tensors
        factors = (grad + grad.transpose(0, 1)).reshape(*grad.shape, *[1] * (inputs[0].dim() - 2))
        gradients: list[Tensor | None] = [None] * len(inputs)
        for i in (index for index, needed in enumerate(ctx.needs_input_grad) if needed):
            gradients[i] = total = inputs[i] * factors[i, i]
            for j in (index for index in range(len(inputs)) if index != i):
                total.addcmul_(inputs[j], factors[i, j])
        return tuple(gradients)


def _prototypes(features: Tensor, probability: Tensor) -> Tensor:
    """Return the weighted means [B, K, C] of features [B, C, d, h, w]."""
    weights = pooled(single(probability), features.shape[2:]).flatten(2)
    share = weights / weights.sum(dim=2, keepdim=True).clamp_min(LEAST_MASS)
    with torch.autocast(features.device.type, enabled=False):
        return share @ single(features).flatten(2).mT


def pooled(values: Tensor, sides: Sequence[int]) -> Tensor:
    """Return the adaptive average pooling of images or volumes [B, C, *size] to some sides."""
    return POOLS[values.dim()](values, tuple(sides))


def _check(probabilities: Sequence[Tensor]) -> None:
    if len(probabilities) < 2 or any(values.shape[1] < 2 for values in probabilities):
        shapes = [tuple(values.shape) for values in probabilities]
        raise ValueError(f"probabilities must be of two or more modalities and classes, got {shapes}")


def ntxent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Return the normalized temperature-scaled cross-entropy: each descriptor must identify its other view.

    With z the 2N descriptors of unit norm, s_ij = z_i . z_j / temperature and p(i) the other view of i,

        mean_i [ log sum_{j != i} exp(s_ij) - s_{i, p(i)} ].

    Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations", ICML 2020.

    Args:
        first: Descriptors [B, N, D] of one view, of any norm; each image of the batch is contrasted on its own.
        second: The same of the other view.
        temperature: Above 0. With a lower temperature, the nearest negatives count more.

    Returns:
        A scalar, computed in float32 or better.

    A ValueError if the shapes differ or are not three-dimensional.
    """
    if first.shape != second.shape or first.dim() != 3:
        raise ValueError(f"first and second must be [B, N, D] of one shape, got {first.shape} and {second.shape}")
    with torch.autocast(first.device.type, enabled=False):
        views = F.normalize(single(torch.cat([first, second], dim=1)), dim=2, eps=LEAST_NORM)
        similarity = views @ views.mT / temperature
        number = similarity.shape[1]
        itself = torch.eye(number, dtype=torch.bool, device=similarity.device)
        similarity = similarity.masked_fill(itself, -torch.inf)
        other = torch.arange(number, device=similarity.device).roll(number // 2)
        return F.cross_entropy(similarity.flatten(0, 1), other.repeat(len(similarity)))
