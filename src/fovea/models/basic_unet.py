"""The two-dimensional U-Net of GazeMedSeg."""

from collections.abc import Sequence
from typing import Any

from monai.networks.nets import BasicUNet
from monai.networks.nets.basic_unet import UpCat
from torch import Tensor, nn

from fovea.models.backbone import Backbone

STRIDE = 16  # four halvings


class BasicUNet2d(Backbone):
    """MONAI's BasicUNet with group normalisation, read out by a 1x1 convolution.

    The network of Zhong et al., "Weakly-supervised Medical Image Segmentation with Gaze Annotations", MICCAI 2024.
    Its layers bear the names of the published checkpoints (`encoder` is the whole U-Net).

    Args:
        in_channels: Channels of the image.
        classes: Channels of the logits.
        features: Widths of the five resolutions and of the output features.
        groups: Groups of each normalisation; each width is a multiple.

    Raises:
        ValueError: `features` are not six multiples of `groups`.
    """

    def __init__(
        self,
        in_channels: int,
        classes: int,
        features: Sequence[int] = (64, 128, 256, 512, 1024, 128),
        groups: int = 4,
    ) -> None:
        super().__init__()
        if len(features) != 6 or groups < 1 or any(width < 1 or width % groups for width in features):
            raise ValueError(f"backbone.features={list(features)}: give six multiples of backbone.groups={groups}")
        self.classes = classes
        self.widths = list(features)
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
        """Features [B, C, H, W] of an image [B, in_channels, H, W], C the last of the widths.

        Raises:
            ValueError: a side of the image is below 16 pixels, or, if compiled, no multiple of 16.
        """
        height, width = image.shape[2:]
        if min(height, width) < STRIDE:
            raise ValueError(f"data.size: images of {height} x {width} px are too small; give {STRIDE} or more")
        pads = height % STRIDE > 0 or width % STRIDE > 0
        if pads and self.compiled:  # torch 2.15 fails on the gradient of the padding
            raise ValueError(f"data.size: compile=true needs multiples of {STRIDE}, not {height} x {width} px")
        for block in self.encoder.children():
            if isinstance(block, UpCat):
                block.is_pad = pads  # else MONAI pads by nothing, which is a copy
        return self.encoder(image)

    def classify(self, features: Tensor) -> Tensor:
        """Logits [B, classes, H, W] of features [B, C, H, W]."""
        return self.classifier(features)

    def coarser(self) -> list[tuple[nn.Module, int]]:
        """The decoder at an eighth, a quarter and half of the image's size."""
        stages: list[nn.Module] = [self.encoder.upcat_4, self.encoder.upcat_3, self.encoder.upcat_2]
        return list(zip(stages, self.widths[3:0:-1], strict=True))

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """As `Backbone.compile`."""
        super().compile(*args, **kwargs)
        self.compiled = True
