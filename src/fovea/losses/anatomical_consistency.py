"""Contrastive anatomical consistency: modalities of one anatomy agree on its structures."""

from collections.abc import Sequence
from itertools import combinations

import torch
from monai.losses import DiceLoss
from torch import Tensor
from torch.nn import functional as F

from fovea.losses.ntxent import ntxent, single

LEAST_MASS = 1e-3  # of a class, in voxels of the features: dividing by less would blow its gradient up


def overlap_consistency(probabilities: Sequence[Tensor]) -> Tensor:
    """1 - soft Dice between the class probabilities of modalities; it needs them roughly aligned.

    For each foreground class, over the voxels of each volume,

        1 - 2 sum P^a P^b / (sum P^a P^a + sum P^b P^b),

    then the mean over classes, volumes and pairs of modalities. With the squares of Milletari et al., "V-Net", 3DV
    2016, equal probabilities agree fully, sure or not. Zhou et al., "Robust Semi-Supervised Multimodal Medical Image
    Segmentation via Cross Modality Collaboration", MICCAI 2024.

    Args:
        probabilities: [B, K, D, H, W] of each modality, K > 1 with the background first; all receive the gradient.

    Returns:
        A scalar in [0, 1].

    Raises:
        ValueError: fewer than two modalities, or no class beside the background.
    """
    _check(probabilities)
    dice = DiceLoss(include_background=False, squared_pred=True)
    return torch.stack([dice(single(a), single(b)) for a, b in combinations(probabilities, 2)]).mean()


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
