"""Tiny networks and batches, of images and of volumes by modality."""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from fovea.losses.segmentation import CrossEntropy, DiceCrossEntropy
from fovea.models.backbone import Backbone
from fovea.models.by_modality import EachModality, EarlyFusion
from fovea.models.cross_modality import CrossModalityNet
from fovea.models.unet3d import UNet3d
from fovea.supervision.cross_modality import CrossModality
from fovea.supervision.multi_level import MultiLevel

NAMES = ["ct", "mri"]
# Groups of several channels: with one channel each, a convolution's bias would have no gradient.
NORM = ["group", {"num_groups": 2}]
UNET = partial(UNet3d, features=[8, 8], norm=NORM)
cross = partial(CrossModalityNet, NAMES, 1, 3, UNET, norm=NORM, groups=4, shared_encoder=True, shared_decoder=True)
own = partial(cross, shared_encoder=False, shared_decoder=False)
separate = partial(EachModality, NAMES, 1, 3, UNET)
early = partial(EarlyFusion, NAMES, 1, 3, UNET)

multi_level = partial(
    MultiLevel,
    thresholds=[0.5, 0.3],
    consistency="prop",
    weight=3.0,
    init="independent",
    ensemble="logits",
    window=100,
    kernel_size=5,
    dilation=2,
    similarity="dot",
)
cross_modality = partial(
    CrossModality,
    channel_weight=1.0,
    anatomical_weight=1.0,
    anatomical="prototype",
    start=0.7,
    side=4,
    temperature=0.5,
)


class TinyBackbone(Backbone):
    """Two convolutions, with features at half the resolution."""

    def __init__(self, classes: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.Tanh())
        self.head = nn.Sequential(nn.Conv2d(8, classes, 1), nn.Upsample(scale_factor=2))

    def features(self, image: Tensor) -> Tensor:
        return self.body(image)

    def classify(self, features: Tensor) -> Tensor:
        return self.head(features)


def loss(classes: int = 3) -> nn.Module:
    return CrossEntropy() if classes == 1 else DiceCrossEntropy(batch=True)


def volumes(batch: int = 1, names: list[str] = NAMES) -> dict[str, Tensor]:
    return {name: torch.rand(batch, 1, 8, 8, 8) for name in names}


def slices(batch: int = 2) -> dict[str, Tensor]:
    return {name: torch.rand(batch, 1, 8, 8) for name in NAMES}


def labeled(image: Any, classes: int) -> dict[str, Any]:
    """A batch whose mask and map can be learned from the image."""
    if isinstance(image, dict):
        masks = {name: labeled(volume, classes)["mask"] for name, volume in image.items()}
        return {"image": image, "mask": masks, "pseudo": next(iter(image.values())), "index": torch.arange(1)}
    brightness = image[:, :1]
    mask = (brightness > 0.5).float() if classes == 1 else (classes * brightness[:, 0]).long().clamp(max=classes - 1)
    return {"image": image, "mask": mask, "pseudo": brightness, "index": torch.arange(len(image))}


def two_streams() -> dict[str, Any]:
    """A batch of two modalities and three classes in two streams."""
    return {"labeled": labeled(volumes(), 3), "unlabeled": {"image": volumes()}}
