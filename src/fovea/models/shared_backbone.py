"""A backbone of images that reads the slices of volumes of several modalities."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from torch import Tensor

from fovea.models.backbone import Backbone
from fovea.models.by_modality import ByModality, Outputs, in_one_batch, without


class SharedBackbone(ByModality):
    """One 2-D backbone for the slices of all modalities, each by itself; any modality may be missing."""

    stride = 1  # the backbone refuses sides that it does not accept

    def __init__(self, modalities: Sequence[str] | None, classes: int, backbone: Callable[[], Backbone]) -> None:
        super().__init__(modalities, classes, slices=True)
        self.backbone = backbone()

    def forward(
        self, image: Mapping[str, Tensor], wanted: Iterable[str] | None = None, dropped: float = 0.0
    ) -> Outputs:
        """See `ByModality`; the channels that are dropped are those of the decoder."""

        def through(values: Tensor) -> tuple[Tensor, Tensor]:
            [features] = without([self.backbone.features(values)], dropped)
            return self.backbone.classify(features), features

        return in_one_batch(through, image, self.present(image) if wanted is None else [*wanted])
