"""The two-dimensional U-Net of GazeMedSeg."""

from collections.abc import Sequence
from typing import Any

from monai.networks.nets import BasicUNet
from monai.networks.nets.basic_unet import UpCat
from torch import Tensor, nn

from fovea.models.backbone import Backbone
from fovea.runtime.bounds import Count

STRIDE = 16  # four halvings


class BasicUNet2d(Backbone):
    """MONAI's BasicUNet with group normalization, then a 1x1 convolution.

    The network of Zhong et al., "Weakly-supervised Medical Image Segmentation with Gaze Annotations", MICCAI 2024. Its
    layers have the names of the published checkpoints; `encoder` is the whole U-Net. `features` are the widths of the
    five resolutions and of the output, multiples of `groups`.
    """

    def __init__(self, in_channels: int, classes: int, features: Sequence[Count], groups: Count) -> None:
        super().__init__()
        if len(features) != 6 or any(width % groups for width in features):
            raise ValueError(f"features must be six multiples of groups={groups}, got {list(features)}")
        self.encoder = BasicUNet(
            spatial_dims=2,
            in_channels=in_channels,
            out_channels=features[-1],
            features=features,
            norm=("group", {"num_groups": groups}),
        )
        self.classifier = nn.Conv2d(features[-1], classes, kernel_size=1)
        self.compiled = False

    def features(self, image: Tensor) -> Tensor:
        """Return features [B, C, H, W] of an image [B, in_channels, H, W], C the last of the widths."""
        height, width = image.shape[2:]
        if min(height, width) < STRIDE:
            raise ValueError(f"image: sides must be at least {STRIDE} pixels, got {height} x {width}")
        pads = height % STRIDE > 0 or width % STRIDE > 0
        if pads and self.compiled:  # torch 2.15 fails on the gradient of the padding
            needs = f"compile=true needs sides (data.size) in multiples of {STRIDE}"
            raise ValueError(f"image: {needs}, got {height} x {width}")
        for block in self.encoder.children():
            if isinstance(block, UpCat):
                block.is_pad = pads  # otherwise MONAI pads by 0, which makes a copy
        return self.encoder(image)

    def classify(self, features: Tensor) -> Tensor:
        return self.classifier(features)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        super().compile(*args, **kwargs)
        self.compiled = True
