"""One U-Net on all modalities as channels: the baseline of early fusion."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from fovea.models.by_modality import ByModality, Outputs
from fovea.models.unet3d import Halves


class EarlyFusion(ByModality):
    """One network: the volumes of all modalities are its channels, and the logits of each come out of it.

    No modality may be missing, and none has features of its own.

    Args:
        modalities: Their names, two or more.
        in_channels: Channels of a volume.
        classes: Channels of the logits of each modality, the background included.
        unet: Factory of `fovea.models.unet3d.Halves` from `in_channels` and `classes`, each times the modalities.

    Raises:
        ValueError: see `ByModality`.
    """

    separate: ClassVar[bool] = False

    def __init__(
        self, modalities: Sequence[str] | None, in_channels: int, classes: int, unet: Callable[..., Halves]
    ) -> None:
        super().__init__(modalities, classes, least=2)
        number = len(self.modalities)
        self.network = unet(in_channels=number * in_channels, classes=number * classes)
        self.stride = self.network.stride

    def forward(self, image: Mapping[str, Tensor], wanted: Iterable[str] | None = None) -> Outputs:
        """Logits [B, K, D, H, W] of volumes [B, C, D, H, W] by modality, and no features.

        Raises:
            ValueError: a modality is missing; see also `ByModality.fitting`.
        """
        names = self.fitting(image)
        missing = [name for name in self.modalities if name not in image]
        if missing:
            raise ValueError(
                f"image: early fusion needs every modality, and {', '.join(missing)} is missing; give it, or train "
                "with backbone=cross_modality or each_modality"
            )
        *skips, deepest = self.network.encoder(torch.cat([image[name] for name in names], dim=1))
        pieces = dict(zip(names, self.network.decoder(deepest, skips).chunk(len(names), dim=1), strict=True))
        return Outputs(pieces if wanted is None else {name: pieces[name] for name in wanted}, {})
