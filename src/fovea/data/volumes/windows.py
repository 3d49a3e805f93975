"""Prediction of whole volumes with a network that was trained on crops."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from monai.inferers import sliding_window_inference
from torch import Tensor, nn

from fovea.data.volumes.grid import in_plane
from fovea.data.volumes.prepared import Native, centered, common_shape, uncentered
from fovea.runtime.config import instantiate
from fovea.supervision.largest import largest_if_asked
from fovea.supervision.outputs import resize


class SlidingWindow:
    """Predict volumes of any size with a supervision module that takes crops of one size.

    The modalities are padded about their centers to one shape, as in training. Probabilities of overlapping windows
    are averaged with weights that decrease towards the border of a window, then resized to the native grid.

    Windows have `size` voxels and overlap by a part in [0, 1); `at_once` of them are a batch. A size of two sides is
    for a module of slices and volumes with their slices last: every slice is predicted, beside the slices of the other
    modalities at its relative depth.
    """

    def __init__(self, module: nn.Module, size: Sequence[int], overlap: float, at_once: int) -> None:
        self.module, self.size, self.overlap, self.at_once = module, tuple(size), overlap, at_once

    def __call__(self, image: Mapping[str, Tensor], size: Sequence[int]) -> dict[str, Tensor]:
        """Return probabilities [1, K, *size] by name for the first modality of volumes [1, 1, D, H, W] by modality."""
        names = list(image)
        slices = len(self.size) == 2
        if slices:
            count = next(iter(image.values())).shape[-1]
            middles = torch.arange(count) + 0.5  # of as many slices of each volume, evenly spread over its depth
            places = {name: (middles * volume.shape[-1] / count).long() for name, volume in image.items()}
            image = {name: volume[0, ..., places[name]].movedim(-1, 0) for name, volume in image.items()}
        shapes = [tuple(volume.shape[2:]) for volume in image.values()]
        shape = common_shape(shapes, self.size)
        stack = torch.cat([centered(volume, shape) for volume in image.values()], dim=1)

        def predict(windows: Tensor) -> Any:
            outputs = self.module(dict(zip(names, windows.chunk(len(names), dim=1), strict=True)), self.size)
            return {name: output.float() for name, output in outputs.items()}  # a blend in bfloat16 is off by 0.004

        outputs = sliding_window_inference(
            stack, self.size, self.at_once, predict, self.overlap, mode="gaussian", padding_mode="constant"
        )
        assert isinstance(outputs, dict)
        native = {name: uncentered(output, shapes[0]) for name, output in outputs.items()}
        if slices:
            native = {name: output.movedim(0, -1)[None] for name, output in native.items()}
        return {name: resize(output, size) for name, output in native.items()}


def native(data: Mapping[str, Any], module: nn.Module, device: torch.device) -> Native:
    """Return what predicts volumes on any grid with a module that was trained with the group `data`."""
    slices = bool(data.get("slices"))
    size, spacing = in_plane(data["size"], data["spacing"], slices)
    intensity = {name: instantiate(data["intensity"][name], f"data.intensity.{name}") for name in data["modalities"]}
    window = SlidingWindow(module, size, data["overlap"], data["windows"])
    return Native(largest_if_asked(window, data), slices, spacing, intensity, device)
