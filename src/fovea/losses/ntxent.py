"""Contrastive loss between two views of the same descriptors."""

import torch
from torch import Tensor
from torch.nn import functional as F

LEAST_NORM = 1e-4  # of a descriptor: that of a dead channel is 0, and its gradient would explode


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

    Raises:
        ValueError: the shapes differ or are not three-dimensional.
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


def single(values: Tensor) -> Tensor:
    """Return the values in float32 or better."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
