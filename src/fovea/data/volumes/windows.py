"""Whole volumes, read window by window with a network that was trained on crops."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from monai.inferers import sliding_window_inference
from torch import Tensor, nn

from fovea.data.volumes.prepared import centred, common_shape, uncentred
from fovea.supervision.outputs import resize


class SlidingWindow:
    """Reads volumes of any size, by modality, with a supervision module that takes crops of one size.

    The modalities are padded about their centres to one shape, as in training, so that a window is at the same place in
    all. Where windows overlap, probabilities are averaged with weights that fall towards a window's border; then they
    are resized to the volume's native grid.

    Args:
        module: A supervision module; see `fovea.supervision.mode.Mode.forward`.
        size: Of a window, in voxels; volumes that are smaller are padded.
        overlap: Of neighbouring windows, in [0, 1).
        at_once: Windows in a batch.
    """

    def __init__(self, module: nn.Module, size: Sequence[int], overlap: float, at_once: int) -> None:
        self.module, self.size, self.overlap, self.at_once = module, tuple(size), overlap, at_once

    def __call__(self, image: Mapping[str, Tensor], size: Sequence[int]) -> dict[str, Tensor]:
        """Probabilities [1, K, *size] by name, of the first modality of volumes [1, 1, D, H, W] by modality.

        Raises:
            ValueError: the module cannot do without a modality that is missing.
        """
        names = list(image)
        shapes = [tuple(volume.shape[2:]) for volume in image.values()]
        shape = common_shape(shapes, self.size)
        stack = torch.cat([centred(volume, shape) for volume in image.values()], dim=1)

        def predict(windows: Tensor) -> Any:
            return self.module(dict(zip(names, windows.chunk(len(names), dim=1), strict=True)), self.size)

        found = sliding_window_inference(
            stack, self.size, self.at_once, predict, self.overlap, mode="gaussian", padding_mode="constant"
        )
        assert isinstance(found, dict)
        return {name: resize(uncentred(each, shapes[0]), size) for name, each in found.items()}
