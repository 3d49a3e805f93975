"""Networks that read volumes, or slices of volumes, by modality: their interface, and those without collaboration."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from fovea.models.backbone import Backbone

if TYPE_CHECKING:  # evaluations of images do without MONAI
    from fovea.models.unet3d import Halves


NORMS = (_NormBase, nn.GroupNorm, nn.LayerNorm)
Volumes = Mapping[str, Tensor]  # by modality: [B, C, D, H, W], of slices [B, C, H, W]


class Outputs(NamedTuple):
    """The outputs of a network by modality."""

    logits: dict[str, Tensor]
    """[B, K, D, H, W], of slices [B, K, H, W]."""
    features: dict[str, Tensor]
    """[B, C, d, h, w]: the deepest features of the encoder, of the modalities that have their own."""


class ByModality(nn.Module):
    """A network of at least `least` modalities; supervision modes use only this interface.

    The weights depend on the order of the modalities. `classes` are the channels K of the logits of each modality, the
    background included; 1 is a sigmoid. With `slices`, it reads slices [B, C, H, W] in place of volumes.
    """

    separate: ClassVar[bool] = True
    """Whether every modality has features of its own, which can be compared."""
    stride: int
    """The sides of a volume are multiples of this."""

    def __init__(self, modalities: Sequence[str] | None, classes: int, least: int = 1, slices: bool = False) -> None:
        super().__init__()
        names = [] if modalities is None or isinstance(modalities, str) else list(modalities)
        if len(names) < least or len({*names}) < len(names):
            raise ValueError(f"modalities must be {least} or more different names as [ct,mri], got {modalities}")
        self.modalities = names
        self.classes = classes
        self.dims: Literal[2, 3] = 2 if slices else 3

    def halves(self, unet: Callable[..., "Halves"], in_channels: int, classes: int) -> "Halves":
        """Return an encoder and decoder from their factory; a ValueError if they read slices, this network volumes."""
        built: Halves = unet(in_channels=in_channels, classes=classes, **({"dims": 2} if self.dims == 2 else {}))
        if built.dims != self.dims:
            name = type(built).__name__
            raise ValueError(f"unet: {name} reads slices, not volumes; set data.slices=true, or backbone/unet=unet3d")
        return built

    def forward(self, image: Volumes, wanted: Iterable[str] | None = None, dropped: float = 0.0) -> Outputs:
        """Return logits, of the `wanted` modalities or of all, and features of volumes [B, C, D, H, W] by modality.

        A part `dropped` of the channels that go from the encoder to the decoder is set to 0, at random.
        """
        raise NotImplementedError

    def present(self, image: Volumes, one_shape: bool = False) -> list[str]:
        """Return the modalities of an image, in the order of the network; a ValueError if it cannot read them.

        With `one_shape`, the network concatenates the modalities, so their shapes must be equal.
        """
        known = ", ".join(self.modalities)
        if not isinstance(image, Mapping):
            raise ValueError(f"image: this network reads a mapping of volumes by modality ({known})")
        unknown = sorted(image.keys() - {*self.modalities})
        if unknown or not image:
            raise ValueError(f"image: this network reads {known}, got {', '.join(unknown) or 'no modality'}")
        for name, volume in image.items():
            sides = volume.shape[2:]
            if len(sides) != self.dims or any(side % self.stride or side < 2 * self.stride for side in sides):
                wanted = f"{self.dims} sides in multiples of {self.stride}, from {2 * self.stride} on"
                raise ValueError(f"image: {name} must have {wanted}, got {' x '.join(map(str, sides))}; set data.size")
        shapes = {name: tuple(volume.shape) for name, volume in image.items()}
        if one_shape and len({*shapes.values()}) > 1:
            raise ValueError(f"image: all modalities must have one shape, got {shapes}")
        return [name for name in self.modalities if name in image]


def without(scales: Sequence[Tensor], dropped: float) -> list[Tensor]:
    """Return the outputs [B, C, *size] of an encoder, with a part of their channels set to 0 and the others scaled."""
    return [torch.feature_dropout(values, dropped, train=True) for values in scales] if dropped else [*scales]


def in_one_batch(network: Callable[[Tensor], tuple[Tensor, Tensor]], image: Volumes, names: Sequence[str]) -> Outputs:
    """Return the outputs of a network that all modalities share, from one batch if their shapes are equal.

    So a normalization by batch sees all modalities in training, as its running statistics do in evaluation.
    """
    volumes = [image[name] for name in names]
    if len({volume.shape for volume in volumes}) > 1:
        pairs = [network(volume) for volume in volumes]
    else:
        pairs = [*zip(*(values.chunk(len(names)) for values in network(torch.cat(volumes))), strict=True)]
    return named(names, pairs)


def named(names: Sequence[str], pairs: Iterable[tuple[Tensor, Tensor]]) -> Outputs:
    """Return pairs of logits and features by the names of their modalities."""
    logits, features = (dict(zip(names, values, strict=True)) for values in zip(*pairs, strict=True))
    return Outputs(logits, features)


class SharedBackbone(ByModality):
    """One 2-D backbone for the slices of all modalities, each by itself; any modality may be missing."""

    stride = 1  # the backbone refuses sides that it does not accept

    def __init__(self, modalities: Sequence[str] | None, classes: int, backbone: Callable[[], Backbone]) -> None:
        super().__init__(modalities, classes, slices=True)
        self.backbone = backbone()

    def forward(self, image: Volumes, wanted: Iterable[str] | None = None, dropped: float = 0.0) -> Outputs:
        """See `ByModality`; the channels that are dropped are those of the decoder."""

        def through(values: Tensor) -> tuple[Tensor, Tensor]:
            [features] = without([self.backbone.features(values)], dropped)
            return self.backbone.classify(features), features

        return in_one_batch(through, image, self.present(image) if wanted is None else [*wanted])


class EachModality(ByModality):
    """Networks, one from the factory `unet` for each modality; any modality may be missing.

    They are independent, or `share` their `convolutions` and keep normalizations of their own (Dou et al., "Unpaired
    Multi-Modal Segmentation via Knowledge Distillation", IEEE TMI 2020), or are one network (`everything`).
    """

    def __init__(
        self,
        modalities: Sequence[str] | None,
        in_channels: int,
        classes: int,
        unet: Callable[..., Any],
        slices: bool = False,
        share: Literal["nothing", "convolutions", "everything"] = "nothing",
    ) -> None:
        super().__init__(modalities, classes, slices=slices)
        number = 1 if share == "everything" else len(self.modalities)
        halves = [self.halves(unet, in_channels, classes) for _ in range(number)]
        if share == "convolutions":
            for other in halves[1:]:
                share_all_but_norms(halves[0], other)
        self.encoders = nn.ModuleList(half.encoder for half in halves)
        self.decoders = nn.ModuleList(half.decoder for half in halves)
        self.stride = halves[0].stride

    def forward(self, image: Volumes, wanted: Iterable[str] | None = None, dropped: float = 0.0) -> Outputs:
        present = self.present(image)
        names = present if wanted is None else [*wanted]
        if len(self.encoders) == 1:
            return in_one_batch(lambda values: self._through(0, values, dropped), image, names)
        return named(names, [self._through(self.modalities.index(name), image[name], dropped) for name in names])

    def _through(self, number: int, image: Tensor, dropped: float) -> tuple[Tensor, Tensor]:
        """Return the logits and the deepest features of a network."""
        *skips, deepest = without(self.encoders[number](image), dropped)
        return self.decoders[number](deepest, skips), deepest


def share_all_but_norms(first: nn.Module, other: nn.Module) -> None:
    """Let a network use the parameters of an equal one, except in its normalizations."""
    for own, taken in zip(other.modules(), first.modules(), strict=True):
        if not isinstance(own, NORMS):
            for name, parameter in taken.named_parameters(recurse=False):
                setattr(own, name, parameter)


class EarlyFusion(ByModality):
    """One network: its input channels are the volumes of all modalities, its output the logits of each modality.

    No modality may be missing, and no modality has features of its own.
    """

    separate: ClassVar[bool] = False

    def __init__(
        self,
        modalities: Sequence[str] | None,
        in_channels: int,
        classes: int,
        unet: Callable[..., Any],
        slices: bool = False,
    ) -> None:
        super().__init__(modalities, classes, least=2, slices=slices)
        number = len(self.modalities)
        self.network = self.halves(unet, number * in_channels, number * classes)
        self.stride = self.network.stride

    def forward(self, image: Volumes, wanted: Iterable[str] | None = None, dropped: float = 0.0) -> Outputs:
        names = self.present(image, one_shape=True)
        if missing := [name for name in self.modalities if name not in image]:
            fix = "train with backbone=cross_modality, each_modality or shared to predict without it"
            raise ValueError(f"image: {', '.join(missing)} is missing, and early fusion needs all; {fix}")
        scales = self.network.encoder(torch.cat([image[name] for name in names], dim=1))
        *skips, deepest = without(scales, dropped)
        logits = dict(zip(names, self.network.decoder(deepest, skips).chunk(len(names), dim=1), strict=True))
        return Outputs(logits if wanted is None else {name: logits[name] for name in wanted}, {})
