"""Tiny networks and batches of two modalities in two streams."""

from functools import partial

import torch

from fovea.losses.dice_cross_entropy import DiceCrossEntropy
from fovea.models.cross_modality import CrossModalityNet
from fovea.models.each_modality import EachModality
from fovea.models.early_fusion import EarlyFusion
from fovea.models.unet3d import UNet3d

NAMES = ["ct", "mri"]
# Groups of several channels: with one channel each, a convolution's bias would have no gradient.
NORM = ["group", {"num_groups": 2}]
UNET = partial(UNet3d, features=[8, 8], norm=NORM)
cross = partial(CrossModalityNet, NAMES, 1, 3, UNET, norm=NORM, groups=4)
own = partial(cross, shared_encoder=False, shared_decoder=False)
each = partial(EachModality, NAMES, 1, 3, UNET)
early = partial(EarlyFusion, NAMES, 1, 3, UNET)


def loss() -> DiceCrossEntropy:
    """Dice and cross-entropy of three classes."""
    return DiceCrossEntropy(softmax=True, to_onehot_y=True, include_background=False, batch=True)


def volumes(batch: int = 1) -> dict[str, torch.Tensor]:
    """One volume [batch, 1, 8, 8, 8] of each modality."""
    return {name: torch.rand(batch, 1, 8, 8, 8) for name in NAMES}


def two_streams() -> dict:
    """A batch whose labels can be learnt from the volumes."""
    image = volumes()
    mask = {name: (3 * volume[:, 0]).long().clamp(max=2) for name, volume in image.items()}
    return {"labeled": {"image": image, "mask": mask}, "unlabeled": {"image": volumes()}}
