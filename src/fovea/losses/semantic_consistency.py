"""Channel-wise semantic consistency: the same channel means the same in every modality."""

from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor
from torch.nn import functional as F

from fovea.losses.ntxent import ntxent, single


def semantic_consistency(features: Sequence[Tensor], side: int = 4, temperature: float = 0.5) -> Tensor:
    """NT-Xent between the channels of modalities, each described by where it is active.

    A channel's descriptor is its adaptive average pooling to `side`^3 cells, at unit norm. The same channel of the
    other modality is its positive, every other channel of either a negative; of more than two modalities, the mean over
    pairs. Zhou et al., "Robust Semi-Supervised Multimodal Medical Image Segmentation via Cross Modality Collaboration",
    MICCAI 2024, which compares runs of voxels in place of pooled descriptors, at a hundred times the memory.

    Args:
        features: [B, C, D, H, W] of each modality. They may differ in D, H and W.
        side: Cells of the grid along each axis, 2 or more: one cell is a single number, and unit norm leaves only its
            sign.
        temperature: See `fovea.losses.ntxent.ntxent`.

    Returns:
        A scalar.

    Raises:
        ValueError: fewer than two modalities, a smaller side, or features of one voxel.
    """
    if len(features) < 2 or side < 2 or any(each.shape[2:].numel() < 2 for each in features):
        shapes = [tuple(each.shape) for each in features]
        raise ValueError(f"two or more modalities, a side of 2 or more and several voxels are needed: {shapes}, {side}")
    described = [F.adaptive_avg_pool3d(single(each), side).flatten(2) for each in features]
    return torch.stack([ntxent(*pair, temperature) for pair in combinations(described, 2)]).mean()
