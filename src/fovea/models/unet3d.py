"""U-Nets of volumes, or of their slices, in two halves, so that a module can be put between encoder and decoder."""

import itertools
from collections.abc import Sequence
from typing import Any, Literal

import torch
from monai.networks.blocks import Convolution
from monai.networks.layers import Conv, Pool
from monai.networks.nets import DynUNet
from torch import Tensor, nn

from fovea.models.weights import load_halves
from fovea.runtime.bounds import Count

Dims = Literal[2, 3]
Norm = str | Sequence[Any]
"""A normalization as MONAI names it: `instance`, or `[group, {num_groups: 8}]`."""


class Encoder(nn.Module):
    """Stages, each at half the resolution of the one before; the first has that of the image."""

    def __init__(self, stages: Sequence[nn.Module]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the output [B, C, d, h, w] of each stage, from the finest to the deepest."""
        outputs = [image]
        for stage in self.stages:
            outputs.append(stage(outputs[-1]))
        return outputs[1:]


class Decoder(nn.Module):
    """Stages that take the deeper output and a skip, from the deepest to the finest, and a head."""

    def __init__(self, stages: Sequence[nn.Module], head: nn.Module) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.head = head

    def forward(self, deepest: Tensor, skips: Sequence[Tensor]) -> Tensor:
        """Return logits [B, K, D, H, W] of the deepest features and the skips, in the order of the encoder."""
        for stage, skip in zip(self.stages, reversed(skips), strict=True):
            deepest = stage(deepest, skip)
        return self.head(deepest)


class Halves(nn.Module):
    """An encoder and its decoder; `pretrained` is a file of initial weights, see `load_halves`.

    With `dims` of 2, they read slices [B, C, H, W].
    """

    def __init__(
        self, encoder: nn.Module, decoder: nn.Module, widths: Sequence[int], pretrained: str | None, dims: Dims = 3
    ) -> None:
        super().__init__()
        self.encoder, self.decoder, self.dims = encoder, decoder, dims
        self.width = widths[-1]  # channels of the deepest features
        self.stride = 2 ** (len(widths) - 1)  # the sides of a volume are multiples of this
        if pretrained is not None:
            load_halves(self, pretrained)


class UNet3d(Halves):
    """The three-dimensional U-Net of Models Genesis, which the published cross-modality network uses.

    Zhou et al., "Models Genesis", Medical Image Analysis 67, 2021. A stage has two convolutions; in the encoder,
    the first has half the width. Max pooling down, transposed convolutions up. `configs/backbone/unet/` describes the
    arguments, see also `Halves`.
    """

    def __init__(
        self,
        in_channels: int,
        classes: int,
        features: Sequence[Count],
        norm: Norm,
        pretrained: str | None = None,
        dims: Dims = 3,
    ) -> None:
        _check(features)
        down: list[nn.Module] = []
        for before, width in itertools.pairwise([in_channels, *features]):
            pool = Pool[Pool.MAX, dims](2) if down else nn.Identity()
            convolutions = convolution(before, width // 2, norm, dims), convolution(width // 2, width, norm, dims)
            down.append(nn.Sequential(pool, *convolutions))
        up = [Up(below, width, norm, dims) for below, width in itertools.pairwise(reversed(features))]
        head = Conv[Conv.CONV, dims](features[0], classes, kernel_size=1)
        super().__init__(Encoder(down), Decoder(up, head), features, pretrained, dims)


class DynUNet3d(Halves):
    """MONAI's DynUNet, the network of nnU-Net, in two halves: strided or residual convolutions, leaky ReLU.

    Isensee et al., "nnU-Net", Nature Methods 18, 2021. Arguments are those of `UNet3d`, with three widths or more;
    `residual` makes the blocks of the encoder residual.
    """

    def __init__(
        self,
        in_channels: int,
        classes: int,
        features: Sequence[Count],
        norm: Norm,
        residual: bool = False,
        pretrained: str | None = None,
        dims: Dims = 3,
    ) -> None:
        _check(features, least=3)
        network = DynUNet(
            spatial_dims=dims,
            in_channels=in_channels,
            out_channels=classes,
            kernel_size=[3] * len(features),
            strides=[1] + [2] * (len(features) - 1),
            upsample_kernel_size=[2] * (len(features) - 1),
            filters=list(features),
            norm_name=_with_scale(norm),
            res_block=residual,
        )
        encoder = Encoder([network.input_block, *network.downsamples, network.bottleneck])
        decoder = Decoder(list(network.upsamples), network.output_block)
        super().__init__(encoder, decoder, features, pretrained, dims)


class Up(nn.Module):
    """One resolution up: a transposed convolution, concatenation with the skip, two convolutions."""

    def __init__(self, below: int, width: int, norm: Norm, dims: Dims) -> None:
        super().__init__()
        self.up = Conv[Conv.CONVTRANS, dims](below, below, kernel_size=2, stride=2)
        self.body = nn.Sequential(convolution(below + width, width, norm, dims), convolution(width, width, norm, dims))

    def forward(self, deeper: Tensor, skip: Tensor) -> Tensor:
        """Return [B, width, D, H, W] from a deeper [B, below, D/2, H/2, W/2] and a skip [B, width, D, H, W]."""
        return self.body(torch.cat([self.up(deeper), skip], dim=1))


def convolution(before: int, width: int, norm: Norm, dims: Dims) -> nn.Module:
    """Return a convolution of sides 3, normalization and ReLU, with MONAI's names of weights."""
    return Convolution(dims, before, width, kernel_size=3, adn_ordering="NA", act="relu", norm=_with_scale(norm))


def _with_scale(norm: Norm) -> str | tuple[Any, ...]:
    """Return a normalization with scale and shift, which MONAI's instance normalization has only on request."""
    if norm == "instance":
        return "instance", {"affine": True}
    return norm if isinstance(norm, str) else tuple(norm)


def _check(features: Sequence[int], least: int = 2) -> None:
    if len(features) < least or any(width < 2 or width % 2 for width in features):
        raise ValueError(f"features must be {least} or more even numbers, got {list(features)}")
