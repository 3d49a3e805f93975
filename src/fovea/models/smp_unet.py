"""A network of segmentation-models-pytorch in two halves, for the slices of volumes."""

from collections.abc import Sequence
from typing import Any, Literal

from torch import Tensor, nn

from fovea.models.smp import SmpBackbone
from fovea.models.unet3d import Halves


class SmpUNet(Halves):
    """The encoder, e.g. a pretrained one, and decoder of a `fovea.models.smp.SmpBackbone`, whose arguments it takes."""

    def __init__(self, dims: Literal[2] = 2, **arguments: Any) -> None:
        built = SmpBackbone(**arguments).network
        decoder = SmpDecoder(built.decoder, built.segmentation_head)
        super().__init__(built.encoder, decoder, built.encoder.out_channels, None, dims)
        self.stride = built.encoder.output_stride


class SmpDecoder(nn.Module):
    """A decoder of segmentation-models-pytorch with its head."""

    def __init__(self, body: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.body, self.head = body, head

    def forward(self, deepest: Tensor, skips: Sequence[Tensor]) -> Tensor:
        """Return logits [B, K, H, W]; see `fovea.models.unet3d.Decoder`."""
        return self.head(self.body([*skips, deepest]))
