"""Channel-wise semantic consistency: a channel has the same meaning in every modality."""

from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor
from torch.nn import functional as F

from fovea.losses.ntxent import ntxent, single


def semantic_consistency(features: Sequence[Tensor], side: int, temperature: float) -> Tensor:
    """Return the NT-Xent between the channels of modalities, described by where they are active.

    The descriptor of a channel is its adaptive average pooling to `side`^3 cells, at unit norm. The same channel of the
    other modality is the positive, all other channels of both are negatives. For more than two modalities, it is the
    mean over pairs. Zhou et al., "Robust Semi-Supervised Multimodal Medical Image Segmentation via Cross Modality
    Collaboration", MICCAI 2024; the paper compares runs of voxels in place of pooled descriptors, with a hundred times
    the memory.

    Args:
        features: [B, C, D, H, W] of each modality. They may differ in D, H and W.
        side: Cells of the grid along each axis, 2 or more: with one cell, unit norm would leave only a sign.
        temperature: That of `fovea.losses.ntxent.ntxent`.

    Returns:
        A scalar.

    Raises:
        ValueError: fewer than two modalities, a smaller side, or features of one voxel.
    """
    if len(features) < 2 or side < 2 or any(values.shape[2:].numel() < 2 for values in features):
        shapes = [tuple(values.shape) for values in features]
        raise ValueError(f"features must be of 2 or more modalities and voxels, side at least 2, got {shapes}, {side}")
    described = [F.adaptive_avg_pool3d(single(values), side).flatten(2) for values in features]
    return torch.stack([ntxent(*pair, temperature) for pair in combinations(described, 2)]).mean()
