"""The cross-modality network: features of several modalities, recalibrated, fused, and decoded for each."""

from collections.abc import Callable, Iterable, Sequence

import torch
from monai.networks.layers import Conv
from torch import Tensor, nn

from fovea.losses.precision import single
from fovea.models.by_modality import ByModality, Outputs, Volumes, without
from fovea.models.unet3d import Halves, Norm, convolution
from fovea.runtime.bounds import Count


class ChannelAwareness(nn.Module):
    """The modality-independent awareness: channels recalibrated by their similarity to each other.

    With X the features as [C, N] and E = X X^T,

        A = softmax(rowmax(E) - E),    F' = gamma A X + F,

    and gamma learned from 0. Zhou et al., "Robust Semi-Supervised Multimodal Medical Image Segmentation via Cross
    Modality Collaboration", MICCAI 2024; it is the channel attention of Fu et al., "Dual Attention Network", CVPR 2019.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, features: Tensor) -> Tensor:
        """Return features [B, C, ...] of the same shape. Products are in float32, since float16 overflows."""
        flat = features.flatten(2)
        with torch.autocast(features.device.type, enabled=False):
            rows = single(flat)
            energy = rows @ rows.mT
            attention = (energy.amax(dim=-1, keepdim=True) - energy).softmax(dim=-1)
            mixed = attention @ rows
        return self.gamma * mixed.to(features.dtype).view_as(features) + features


class CrossModalityNet(ByModality):
    """The network of Zhou et al., MICCAI 2024 (see `ChannelAwareness`), for two modalities or more.

    An encoder gives F, the awareness F'. A fusion layer on all F' gives Z in (0, 1). The decoder of a modality starts
    from a 1x1x1 convolution of [Z, F'] and uses the skips of its modality. The features are F'.

    The mean F' of the other modalities replaces that of a missing one, so one modality is enough for a prediction. The
    network is not trained in this way, but the features of the modalities are trained to be similar.

    The volumes of two modalities or more have one shape, but need not be registered. `unet` makes a
    `fovea.models.unet3d.Halves` from `in_channels` and `classes`. `configs/backbone/cross_modality.yaml` describes the
    other arguments, see also `ByModality`.
    """

    def __init__(
        self,
        modalities: Sequence[str] | None,
        in_channels: int,
        classes: int,
        unet: Callable[..., Halves],
        norm: Norm,
        groups: Count,
        shared_encoder: bool,
        shared_decoder: bool,
        slices: bool = False,
    ) -> None:
        super().__init__(modalities, classes, least=2, slices=slices)
        number = len(self.modalities)
        built = 1 if shared_encoder and shared_decoder else number
        halves = [self.halves(unet, in_channels, classes) for _ in range(built)]
        self.encoders = nn.ModuleList(half.encoder for half in halves[: 1 if shared_encoder else number])
        self.decoders = nn.ModuleList(half.decoder for half in halves[: 1 if shared_decoder else number])
        self.stride, width = halves[0].stride, halves[0].width
        if 2 * width % groups:
            raise ValueError(f"groups must divide 2 x {width}, twice the deepest width, got {groups}")
        self.awareness = ChannelAwareness()
        fused = [convolution(before, width, norm, self.dims) for before in (number * width, width)]
        self.fusion = nn.Sequential(*fused, nn.Sigmoid())
        normalized = nn.GroupNorm(groups, 2 * width), nn.ReLU()
        self.mix = nn.Sequential(*normalized, Conv[Conv.CONV, self.dims](2 * width, width, kernel_size=1))

    def forward(self, image: Volumes, wanted: Iterable[str] | None = None, dropped: float = 0.0) -> Outputs:
        names = self.present(image, one_shape=True)
        scales = {name: without(self._module_of(self.encoders, name)(image[name]), dropped) for name in names}
        features = {name: self.awareness(scales[name][-1]) for name in names}
        missing = [name for name in self.modalities if name not in features]
        mean = dict.fromkeys(missing, torch.stack([*features.values()]).mean(dim=0)) if missing else {}
        fused = self.fusion(torch.cat([(features | mean)[name] for name in self.modalities], dim=1))
        logits = {}
        for name in names if wanted is None else wanted:
            mixed = self.mix(torch.cat([fused, features[name]], dim=1))
            logits[name] = self._module_of(self.decoders, name)(mixed, scales[name][:-1])
        return Outputs(logits, features)

    def _module_of(self, modules: nn.ModuleList, name: str) -> nn.Module:
        return modules[self.modalities.index(name) if len(modules) > 1 else 0]
