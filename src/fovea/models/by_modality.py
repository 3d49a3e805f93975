"""The interface of a network that reads volumes by modality."""

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, NamedTuple

from torch import Tensor, nn


class Outputs(NamedTuple):
    """The outputs of a network by modality."""

    logits: dict[str, Tensor]
    """[B, K, D, H, W]."""
    features: dict[str, Tensor]
    """[B, C, d, h, w]: the deepest features of the encoder, of the modalities that have their own."""


class ByModality(nn.Module):
    """A network of at least `least` modalities; supervision modes use only this interface.

    The weights depend on the order of the modalities. `classes` are the channels K of the logits of each modality, the
    background included; 1 is a sigmoid.
    """

    separate: ClassVar[bool] = True
    """Whether every modality has features of its own, which can be compared."""
    stride: int
    """The sides of a volume are multiples of this."""

    def __init__(self, modalities: Sequence[str] | None, classes: int, least: int = 1) -> None:
        super().__init__()
        names = [] if modalities is None or isinstance(modalities, str) else list(modalities)
        if len(names) < least or len({*names}) < len(names):
            raise ValueError(f"modalities must be {least} or more different names as [ct,mri], got {modalities}")
        self.modalities = names
        self.classes = classes

    def forward(self, image: Mapping[str, Tensor], wanted: Iterable[str] | None = None) -> Outputs:
        """Return logits, of the `wanted` modalities or of all, and features of volumes [B, C, D, H, W] by modality."""
        raise NotImplementedError

    def present(self, image: Mapping[str, Tensor], one_shape: bool = False) -> list[str]:
        """Return the modalities of an image, in the order of the network.

        Raises:
            ValueError: it is not a mapping, has no or unknown modalities, sides that the network does not accept, or
                several shapes although the network concatenates the modalities (`one_shape`).
        """
        known = ", ".join(self.modalities)
        if not isinstance(image, Mapping):
            raise ValueError(f"image: this network reads a mapping of volumes by modality ({known})")
        unknown = sorted(image.keys() - {*self.modalities})
        if unknown or not image:
            raise ValueError(f"image: this network reads {known}, got {', '.join(unknown) or 'no modality'}")
        for name, volume in image.items():
            sides = volume.shape[2:]
            if volume.dim() != 5 or any(side % self.stride or side < 2 * self.stride for side in sides):
                raise ValueError(
                    f"image: {name} must have three sides in multiples of {self.stride}, from {2 * self.stride} on, "
                    f"got {' x '.join(map(str, sides))}"
                )
        shapes = {name: tuple(volume.shape) for name, volume in image.items()}
        if one_shape and len({*shapes.values()}) > 1:
            raise ValueError(f"image: all modalities must have one shape, got {shapes}")
        return [name for name in self.modalities if name in image]
