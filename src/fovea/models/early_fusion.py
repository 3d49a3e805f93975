"""One U-Net with all modalities as channels: the baseline of early fusion."""

from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar

import torch

from fovea.models.by_modality import ByModality, Outputs, Volumes, without
from fovea.models.unet3d import Halves


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
        unet: Callable[..., Halves],
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
