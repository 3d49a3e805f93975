"""NT-Xent, descriptor by descriptor."""

import torch
from torch import Tensor


def contrast(first: list[Tensor], second: list[Tensor], temperature: float) -> list[Tensor]:
    """The terms of all descriptors of two views of one image."""
    views = [view / view.norm() for view in [*first, *second]]
    terms = []
    for i, anchor in enumerate(views):
        near = [(anchor @ other / temperature).exp() for other in views]
        terms.append(torch.stack([*near[:i], *near[i + 1 :]]).sum().log() - near[(i + len(first)) % len(views)].log())
    return terms
