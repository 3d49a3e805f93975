"""What a Python user gives to a model, to probabilities; see `fovea.engine.model`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fovea.data.images.find import decoder
from fovea.data.images.predict import Pixels
from fovea.data.volumes.grid import Header
from fovea.data.volumes.nifti import read_header, read_volume
from fovea.data.volumes.prepared import on_grid, prepare_voxels
from fovea.data.volumes.source import in_plane
from fovea.runtime.config import instantiate


class ImageInput:
    """Images as arrays, tensors or files, read as in the training."""

    def __init__(self, network: Pixels, data: Mapping[str, Any]) -> None:
        self.network, self.channels, self.decode = network, data["channels"], decoder(data)

    def __call__(self, image: Any, spacing: Any) -> Mapping[str, Tensor]:
        """Return probabilities [1, K, H, W] by name."""
        if isinstance(image, str | Path):
            return self.network(self.decode(Path(image).expanduser()))
        array = image.cpu().numpy() if isinstance(image, Tensor) else np.asarray(image)
        array = array[..., None] if array.ndim == 2 else array
        if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != self.channels:
            raise ValueError(f"image must be uint8 [H, W, {self.channels}], got {array.dtype} {list(array.shape)}")
        return self.network(array)


class VolumeInput:
    """Volumes by modality as arrays or files, read as in the training and predicted window by window."""

    def __init__(self, module: nn.Module, data: Mapping[str, Any], device: torch.device) -> None:
        from fovea.data.volumes.windows import SlidingWindow  # imports MONAI

        self.modalities, self.device, self.slices = data["modalities"], device, bool(data.get("slices"))
        size, self.spacing = in_plane(data["size"], data["spacing"], self.slices)
        self._intensity = {name: instantiate(data["intensity"][name]) for name in self.modalities}
        self._window = SlidingWindow(module, size, data["overlap"], data["windows"])

    @torch.inference_mode()
    def __call__(self, image: Any, spacing: Any) -> Mapping[str, Tensor]:
        """Return probabilities [1, K, D, H, W] by name, in RAS."""
        if not isinstance(image, Mapping) and len(self.modalities) == 1:
            image = {self.modalities[0]: image}
        names = ", ".join(self.modalities)
        if not isinstance(image, Mapping) or not image or {*image} - {*self.modalities}:
            got = ", ".join(map(str, image)) if isinstance(image, Mapping) else type(image).__name__
            raise ValueError(f"image must be a mapping of volumes by modality ({names}), got {got or 'no volume'}")
        sides = {name: spacing.get(name) if isinstance(spacing, Mapping) else spacing for name in image}
        volumes = {name: self._volume(name, volume, sides[name]) for name, volume in image.items()}
        prepared = {
            name: prepare_voxels(*volume, self.spacing, self._intensity[name], self.slices)
            for name, volume in volumes.items()
        }
        tensors = {name: torch.from_numpy(voxels)[None, None].to(self.device) for name, voxels in prepared.items()}
        _, first = next(iter(volumes.values()))
        return on_grid(self._window, tensors, first, self.slices)

    def _volume(self, name: str, volume: Any, spacing: Any) -> tuple[np.ndarray, Header]:
        """Return the voxels of a file or an array, float32 [D, H, W] in RAS, and their grid."""
        if isinstance(volume, str | Path):
            path = Path(volume).expanduser()
            return read_volume(path), read_header(path)
        voxels = np.asarray(volume.cpu() if isinstance(volume, Tensor) else volume)
        if voxels.ndim != 3 or voxels.dtype.kind not in "iufb" or 0 in voxels.shape or not np.isfinite(voxels).all():
            raise ValueError(f"image: {name} must be finite numbers [D, H, W], got {voxels.dtype} {list(voxels.shape)}")
        if spacing is None and (self.slices or any(side is not None for side in self.spacing or ())):
            raise ValueError(f"spacing: give the sides of a voxel of {name} in mm, which this model needs")
        sides = np.asarray((1.0, 1.0, 1.0) if spacing is None else spacing, np.float64)
        if sides.shape != (3,) or not (sides > 0).all() or not np.isfinite(sides).all():
            raise ValueError(f"spacing must be three sides in mm above 0, got {spacing}")
        depth, height, width = voxels.shape
        grid = Header(Path(name), (depth, height, width), (sides[0], sides[1], sides[2]), np.diag([*sides, 1.0]))
        return voxels.astype(np.float32), grid
