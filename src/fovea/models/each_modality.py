"""One independent U-Net for each modality: the baseline without collaboration."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from torch import Tensor, nn

from fovea.models.by_modality import ByModality, Outputs
from fovea.models.unet3d import Halves


class EachModality(ByModality):
    """Independent networks, one from the factory `unet` for each modality; any modality may be missing."""

    def __init__(
        self, modalities: Sequence[str] | None, in_channels: int, classes: int, unet: Callable[..., Halves]
    ) -> None:
        super().__init__(modalities, classes)
        halves = [unet(in_channels=in_channels, classes=classes) for _ in self.modalities]
        self.encoders = nn.ModuleList(half.encoder for half in halves)
        self.decoders = nn.ModuleList(half.decoder for half in halves)
        self.stride = halves[0].stride

    def forward(self, image: Mapping[str, Tensor], wanted: Iterable[str] | None = None) -> Outputs:
        names = self.present(image)
        logits, features = {}, {}
        for name in names if wanted is None else wanted:
            number = self.modalities.index(name)
            *skips, features[name] = self.encoders[number](image[name])
            logits[name] = self.decoders[number](features[name], skips)
        return Outputs(logits, features)
