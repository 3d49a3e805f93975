"""Agreement between the levels of one image's pseudo-mask."""

import torch
from torch import Tensor

from fovea.losses.precision import single


def cross_level_consistency(logits: Tensor, peers: Tensor) -> Tensor:
    """Return how much each level disagrees with the others, from -1 (all agree and are certain) to 0.

    With P_k the class probabilities of level k and sg the stop of the gradient,

        C_k = -mean_{j != k} mean_pixels <P_k, sg(P_j)>.

    Zhong et al., "Weakly-supervised Medical Image Segmentation with Gaze Annotations", MICCAI 2024.

    Args:
        logits: [K, B, C, H, W] of K levels, which get a gradient: plain (`pure`) or of propagated features (`prop`).
            C = 1 is a sigmoid, C > 1 a softmax.
        peers: Plain logits of the same levels and shape, which get no gradient.

    Returns:
        C_k as [K]; 0 for a single level. A ValueError if the shapes differ.
    """
    if logits.shape != peers.shape or logits.dim() != 5:
        raise ValueError(f"logits and peers must be [K, B, C, H, W] of one shape, got {logits.shape} and {peers.shape}")
    certain = _probabilities(peers.detach())
    others = (certain.sum(dim=0) - certain) / max(len(certain) - 1, 1)
    return -(_probabilities(logits) * others).sum(dim=2).mean(dim=(1, 2, 3))


def _probabilities(logits: Tensor) -> Tensor:
    """Return the probabilities [K, B, max(C, 2), H, W] of logits [K, B, C, H, W], in float32 or better."""
    logits = single(logits)
    if logits.shape[2] > 1:
        return logits.softmax(dim=2)
    # not 1 - sigmoid(z), which is exactly 0, without a gradient, for large z
    return torch.cat([torch.sigmoid(-logits), torch.sigmoid(logits)], dim=2)
