"""Contrast between two views of the same things."""

import torch
from torch import Tensor
from torch.nn import functional as F

LEAST_NORM = 1e-4  # of a descriptor: a dead channel's is 0, and dividing by less would blow its gradient up


def ntxent(first: Tensor, second: Tensor, temperature: float = 0.5) -> Tensor:
    """Normalised, temperature-scaled cross-entropy: each descriptor finds its other view among all the others.

    With z the 2N descriptors of unit norm, s_ij = z_i . z_j / temperature and p(i) the other view of i,

        mean_i [ log sum_{j != i} exp(s_ij) - s_{i, p(i)} ].

    Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations", ICML 2020.

    Args:
        first: Descriptors [B, N, D] of one view, of any norm; each of the batch is contrasted within itself.
        second: The same of the other view.
        temperature: Above 0; the smaller, the more the nearest negatives count.

    Returns:
        A scalar, never computed in half precision.

    Raises:
        ValueError: the shapes differ or are not three-dimensional.
    """
    if first.shape != second.shape or first.dim() != 3:
        raise ValueError(f"two tensors [B, N, D] of one shape are contrasted: {first.shape} and {second.shape}")
    with torch.autocast(first.device.type, enabled=False):
        views = F.normalize(single(torch.cat([first, second], dim=1)), dim=2, eps=LEAST_NORM)
        similarity = views @ views.mT / temperature
        number = similarity.shape[1]
        itself = torch.eye(number, dtype=torch.bool, device=similarity.device)
        similarity = similarity.masked_fill(itself, -torch.inf)
        other = torch.arange(number, device=similarity.device).roll(number // 2)
        return F.cross_entropy(similarity.flatten(0, 1), other.repeat(len(similarity)))


def single(values: Tensor) -> Tensor:
    """The same values in float32 at least."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
