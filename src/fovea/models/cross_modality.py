"""The cross-modality network: features of several modalities, recalibrated, fused, and decoded for each."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from fovea.models.by_modality import ByModality, Outputs
from fovea.models.unet3d import Halves, Norm, convolution


class ChannelAwareness(nn.Module):
    """The modality-independent awareness: channels recalibrated by how they resemble each other.

    With X the features as [C, N] and E = X X^T,

        A = softmax(rowmax(E) - E),    F' = gamma A X + F,

    gamma learnt from 0. Zhou et al., "Robust Semi-Supervised Multimodal Medical Image Segmentation via Cross Modality
    Collaboration", MICCAI 2024; the block is the channel attention of Fu et al., "Dual Attention Network", CVPR 2019.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, features: Tensor) -> Tensor:
        """Features [B, C, ...] of the same shape. Products are in float32, since float16 overflows."""
        flat = features.flatten(2)
        with torch.autocast(features.device.type, enabled=False):
            single = flat.to(torch.promote_types(flat.dtype, torch.float32))
            energy = single @ single.mT
            attention = (energy.amax(dim=-1, keepdim=True) - energy).softmax(dim=-1)
            mixed = attention @ single
        return self.gamma * mixed.to(features.dtype).view_as(features) + features


class CrossModalityNet(ByModality):
    """The network of Zhou et al., MICCAI 2024 (see `ChannelAwareness`), for two modalities or more.

    An encoder gives F, the awareness F'; a fusion layer on all F' side by side gives Z in (0, 1); the decoder of each
    modality goes on from a 1x1x1 convolution of [Z, F'] with that modality's skips. The features are F'.

    A modality that is missing is stood in for by the mean F' of those that are there, so that one alone is enough. The
    network has not been trained so, but features of the modalities are trained to be alike.

    Args:
        modalities: Their names, two or more. Volumes of them have one shape, but need not be registered.
        in_channels: Channels of a volume.
        classes: Channels of the logits of each modality, the background included.
        unet: Factory of `fovea.models.unet3d.Halves` from `in_channels` and `classes`.
        norm: Normalisation of the fusion layer; see `fovea.models.unet3d.UNet3d`.
        groups: Of the normalisation before the 1x1x1 convolution; twice the deepest width is a multiple.
        shared_encoder: One encoder for all modalities, as published, or one each.
        shared_decoder: The same of the decoder.

    Raises:
        ValueError: see `ByModality`; also, `groups` do not fit.
    """

    def __init__(
        self,
        modalities: Sequence[str] | None,
        in_channels: int,
        classes: int,
        unet: Callable[..., Halves],
        norm: Norm = "instance",
        groups: int = 16,
        shared_encoder: bool = True,
        shared_decoder: bool = True,
    ) -> None:
        super().__init__(modalities, classes, least=2)
        number = len(self.modalities)
        built = 1 if shared_encoder and shared_decoder else number
        halves = [unet(in_channels=in_channels, classes=classes) for _ in range(built)]
        self.encoders = nn.ModuleList(each.encoder for each in halves[: 1 if shared_encoder else number])
        self.decoders = nn.ModuleList(each.decoder for each in halves[: 1 if shared_decoder else number])
        self.stride, width = halves[0].stride, halves[0].width
        if groups < 1 or 2 * width % groups:
            raise ValueError(f"backbone.groups={groups} does not divide 2 x {width}, the deepest width; give {width}")
        self.awareness = ChannelAwareness()
        fused = convolution(number * width, width, norm), convolution(width, width, norm)
        self.fusion = nn.Sequential(*fused, nn.Sigmoid())
        normalised = nn.GroupNorm(groups, 2 * width), nn.ReLU()
        self.mix = nn.Sequential(*normalised, nn.Conv3d(2 * width, width, kernel_size=1))

    def forward(self, image: Mapping[str, Tensor], wanted: Iterable[str] | None = None) -> Outputs:
        """Logits [B, K, D, H, W] and features F' of volumes [B, C, D, H, W] by modality; see `ByModality.forward`."""
        names = self.fitting(image)
        scales = {name: self._of(self.encoders, name)(image[name]) for name in names}
        features = {name: self.awareness(scales[name][-1]) for name in names}
        fused = self.fusion(self._side_by_side(features))
        logits = {
            name: self._of(self.decoders, name)(self.mix(torch.cat([fused, features[name]], dim=1)), scales[name][:-1])
            for name in (names if wanted is None else wanted)
        }
        return Outputs(logits, features)

    def _of(self, modules: nn.ModuleList, name: str) -> nn.Module:
        """The module of a modality, or the one that all share."""
        return modules[self.modalities.index(name) if len(modules) > 1 else 0]

    def _side_by_side(self, features: dict[str, Tensor]) -> Tensor:
        """[B, M C, d, h, w] of all M modalities in order, with the mean in place of a missing one."""
        missing = [name for name in self.modalities if name not in features]
        mean = dict.fromkeys(missing, torch.stack([*features.values()]).mean(dim=0)) if missing else {}
        return torch.cat([(features | mean)[name] for name in self.modalities], dim=1)
