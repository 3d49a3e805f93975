"""A U-Net for each modality: the baseline without collaboration."""

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from fovea.models.by_modality import ByModality, Outputs, Volumes, in_one_batch, without
from fovea.models.unet3d import Halves

NORMS = (_NormBase, nn.GroupNorm, nn.LayerNorm)


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
        unet: Callable[..., Halves],
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
        outputs = [self._through(self.modalities.index(name), image[name], dropped) for name in names]
        logits, features = (dict(zip(names, values, strict=True)) for values in zip(*outputs, strict=True))
        return Outputs(logits, features)

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
