"""Contrast between pixels of different labels."""

import torch
from torch import Tensor
from torch.nn import functional as F

from fovea.losses.precision import LEAST_NORM, single


def supervised_contrast(first: Tensor, second: Tensor, label: Tensor, temperature: float) -> Tensor:
    """Return how badly pixels of one view find those of their label in the other view.

    With s_ij = cos(a_i, b_j) / temperature and P(i) the pixels of the label of i,

        mean_i mean_{p in P(i)} [ log sum_j exp(s_ij) - s_ip ].

    Khosla et al., "Supervised Contrastive Learning", NeurIPS 2020. The features a and b are [N, C], of the same pixels,
    and the labels [N]. The scalar is computed in float32 or better; 0 without a pixel.
    """
    with torch.autocast(first.device.type, enabled=False):
        a, b = (F.normalize(single(view), dim=1, eps=LEAST_NORM) for view in (first, second))
        logs = (a @ b.mT / temperature).log_softmax(dim=1)
    alike = (label[:, None] == label).to(logs.dtype)
    return -((logs * alike).sum(dim=1) / alike.sum(dim=1)).sum() / max(len(label), 1)
