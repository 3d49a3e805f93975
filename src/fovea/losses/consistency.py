"""Agreement between the levels of one image's pseudo-mask."""

import torch
from torch import Tensor


def cross_level_consistency(logits: Tensor, peers: Tensor) -> Tensor:
    """How far each level disagrees with the others, from -1 (all agree and are sure) to 0.

    With P_k the class probabilities of level k and sg the stopped gradient,

        C_k = -mean_{j != k} mean_pixels <P_k, sg(P_j)>.

    Zhong et al., "Weakly-supervised Medical Image Segmentation with Gaze Annotations", MICCAI 2024.

    Args:
        logits: [K, B, C, H, W] of K levels, which receive the gradient: plain (`pure`) or of propagated features
            (`prop`). C = 1 is read by a sigmoid, C > 1 by a softmax.
        peers: Plain logits of the same levels and shape, which receive none.

    Returns:
        C_k as [K]; zeros for one level, which has no peer.

    Raises:
        ValueError: the shapes differ or are not five-dimensional.
    """
    if logits.shape != peers.shape or logits.dim() != 5:
        raise ValueError(f"two tensors [K, B, C, H, W] of one shape are compared: {logits.shape} and {peers.shape}")
    certain = _probabilities(peers.detach())
    others = (certain.sum(dim=0) - certain) / max(len(certain) - 1, 1)
    return -(_probabilities(logits) * others).sum(dim=2).mean(dim=(1, 2, 3))


def _probabilities(logits: Tensor) -> Tensor:
    """Probabilities [K, B, max(C, 2), H, W] of logits [K, B, C, H, W], never in half precision."""
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    if logits.shape[2] > 1:
        return logits.softmax(dim=2)
    # sigmoid(-z) and not 1 - sigmoid(z), which is exactly 0, without a gradient, for large z
    return torch.cat([torch.sigmoid(-logits), torch.sigmoid(logits)], dim=2)
