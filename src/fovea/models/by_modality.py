"""The face of a network that reads volumes by modality."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import ClassVar, NamedTuple

from torch import Tensor, nn


class Outputs(NamedTuple):
    """What a network says of volumes, by modality."""

    logits: dict[str, Tensor]
    """[B, K, D, H, W]."""
    features: dict[str, Tensor]
    """[B, C, d, h, w], the deepest of the encoder, as far as each modality has its own."""


class ByModality(nn.Module):
    """A network of one or more modalities; supervision modes know no more of it than this.

    Args:
        modalities: Their names; None, as of data without modalities, is refused. Weights go by the order.
        classes: Channels of the logits of each, K, the background included.
        least: Modalities that there must be.

    Raises:
        ValueError: too few modalities, one named twice, or no class beside the background.
    """

    separate: ClassVar[bool] = True
    """Whether each modality has features of its own, which can be compared."""
    stride: int
    """Sides of a volume are multiples of this."""

    def __init__(self, modalities: Sequence[str] | None, classes: int, least: int = 1) -> None:
        super().__init__()
        names = [] if modalities is None or isinstance(modalities, str) else list(modalities)
        if len(names) < least or len({*names}) < len(names):
            raise ValueError(
                f"backbone.modalities={modalities}: give {least} or more different names, as [ct,mri], or choose data "
                "that has them"
            )
        if classes < 2:
            raise ValueError(f"data.classes={classes}: the background counts; give 2 for one structure")
        self.modalities = names
        self.classes = classes

    def forward(self, image: Mapping[str, Tensor], wanted: Iterable[str] | None = None) -> Outputs:
        """Logits and features of volumes [B, C, D, H, W] by modality.

        Args:
            image: The volumes; those of some modalities may be missing where the network says so.
            wanted: Modalities to give logits of; without it all that are there.
        """
        raise NotImplementedError

    def present(self, image: Mapping[str, Tensor]) -> list[str]:
        """The modalities that are there, in the network's order.

        Raises:
            ValueError: it is no mapping by modality, has none or an unknown one, or sides that do not suit the network.
        """
        known = ", ".join(self.modalities)
        if not isinstance(image, Mapping):
            raise ValueError(f"backbone: this network reads volumes by modality ({known}); choose data of that kind")
        unknown = sorted(image.keys() - {*self.modalities})
        if unknown or not image:
            raise ValueError(f"image: there is {', '.join(unknown) or 'no modality'}; this network reads {known}")
        for name, volume in image.items():
            sides = volume.shape[2:]
            if volume.dim() != 5 or any(side % self.stride or side < 2 * self.stride for side in sides):
                raise ValueError(
                    f"data.size: {name} of {' x '.join(map(str, sides))} voxels does not suit this backbone; "
                    f"give three multiples of {self.stride} from {2 * self.stride} on"
                )
        return [name for name in self.modalities if name in image]

    def fitting(self, image: Mapping[str, Tensor]) -> list[str]:
        """The same, where volumes of the modalities are put together.

        Raises:
            ValueError: see `present`; also, their shapes differ.
        """
        names = self.present(image)
        shapes = {name: tuple(image[name].shape) for name in names}
        if len({*shapes.values()}) > 1:
            raise ValueError(f"image: the shapes of {shapes} differ; crop the modalities to one size")
        return names


def network_of(backbone: Callable[[], nn.Module]) -> ByModality:
    """Build a network for a mode that trains on several modalities.

    Raises:
        ValueError: the network is of another kind.
    """
    network = backbone()
    if not isinstance(network, ByModality):
        raise ValueError(
            "backbone: this supervision reads volumes by modality; choose backbone=cross_modality, each_modality or "
            "early_fusion"
        )
    return network
