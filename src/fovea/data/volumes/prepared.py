"""Whole volumes at one spacing and on one intensity scale."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn import functional as F

from fovea.data.cache import Arrays
from fovea.data.source import Predictor
from fovea.data.volumes.grid import Header, order_of, slices_last
from fovea.data.volumes.pairs import Pairs, image_id
from fovea.data.volumes.targets import Target
from fovea.runtime.config import instantiate
from fovea.runtime.errors import first_line

MOST_VOXELS = 2**31  # of a resampled volume, 8 GiB
Intensity = Callable[[np.ndarray], Any]  # A transform of MONAI: maps a volume [1, D, H, W] to one of the same shape


class Array(NamedTuple):
    """The name of one array of a case."""

    what: str  # `image`, or the name of a target
    modality: str
    nearest: bool = False  # whether its values must not be interpolated
    fill: int = 0  # of voxels outside the volume

    def __str__(self) -> str:
        return f"{self.what}-{self.modality}"


class Prepared:
    """The volumes of some cases and their targets, as a cache keeps them (`fovea.data.cache.Cacheable`).

    Images are float32 [D, H, W], targets of the same shape. Only `targets` are read beside the images of `ids`. The
    spacing is in mm, in RAS; None at an axis, or for all, keeps that of each volume.
    """

    def __init__(
        self,
        dataset: Pairs,
        ids: Sequence[str],
        targets: Sequence[Target],
        spacing: Sequence[float | None] | None,
        intensity: Mapping[str, Mapping[str, Any]],
    ) -> None:
        self.dataset, self.ids, self.targets = dataset, list(ids), {target.name: target for target in targets}
        self.spacing, self.configured = spacing, {name: intensity[name] for name in dataset.modalities}
        self.intensity = {name: instantiate(each, f"data.intensity.{name}") for name, each in self.configured.items()}
        kinds = [("image", False, 0), *((target.name, target.nearest, target.fill) for target in targets)]
        self.kinds = tuple(Array(what, name, near, fill) for what, near, fill in kinds for name in self.configured)

    def read(self, array: Array, index: int) -> np.ndarray:
        """Return an array of a case."""
        case, modality = self.ids[index], array.modality
        shape = self.shape(case, modality)
        if target := self.targets.get(array.what):
            return resampled(target.read(case, modality), shape, target.nearest)
        volume, path = self.dataset.volume(case, modality), self.dataset.image_path(case, modality)
        return scaled(resampled(volume, shape), self.intensity[modality], path)

    def layout(self, array: Array) -> tuple[list[tuple[int, ...]], np.dtype]:
        """Return the shape of the array of each case, from the headers alone, and the common type."""
        shapes: list[tuple[int, ...]] = [self.shape(case, array.modality) for case in self.ids]
        return shapes, np.dtype(self.targets[array.what].dtype if array.what in self.targets else np.float32)

    def shape(self, case: str, modality: str) -> tuple[int, int, int]:
        """Return the shape of a volume at the common spacing."""
        return resampled_shape(self.dataset.header(case, modality), self.spacing)

    def inputs(self, array: Array) -> dict[str, Any]:
        target, modality = self.targets.get(array.what), array.modality
        return {
            "spacing": self.spacing,
            "intensity": None if target else self.configured[array.modality],
            "misalignment": vars(self.dataset.misalignment) if self.dataset.misalignment else None,
            "labels": self.dataset.values,
            "ignore_label": self.dataset.ignore_label,
            "slices": self.dataset.slices,
            "target": target.settings if target else {},
            "root": str(self.dataset.root.resolve()),
            "files": [
                path
                for case in self.ids
                for path in (target.files(case, modality) if target else [self.dataset.image_path(case, modality)])
            ],
            "code": [type(self.dataset), type(target or self.intensity[array.modality])],
        }


class WholeVolumes:
    """The samples of a split, one for each modality of each case: a `fovea.data.source.Samples`.

    An image is the volumes of all modalities of the case, by name, first the one to predict; its target is on the
    native grid of that one, turned to RAS. `arrays` reads the images: `prepared` itself, or a cache of it.
    """

    def __init__(self, prepared: Prepared, arrays: Arrays, target: Target) -> None:
        self.prepared, self.arrays, self.target = prepared, arrays, target
        self.modalities = prepared.dataset.modalities
        self.images = [(case, name) for case in prepared.ids for name in self.modalities]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, Any]:
        case, modality = self.images[index]
        position = self.prepared.ids.index(case)
        names = [modality, *(name for name in self.modalities if name != modality)]
        image = {name: torch.from_numpy(self.arrays.read(Array("image", name), position))[None] for name in names}
        target = torch.from_numpy(self.target.labels(case, modality))
        return {"image": image, "index": index, "id": image_id(case, modality), "target": target}


@dataclass
class Native:
    """Predicts volumes on their own grid: prepares them as a network takes them, and turns its predictions back."""

    predictor: Predictor
    slices: bool
    spacing: Sequence[float | None] | None
    intensity: Mapping[str, Intensity]
    device: torch.device

    def prepared(self, volume: np.ndarray, header: Header, modality: str) -> torch.Tensor:
        """Return a volume in RAS as a network takes it, [1, 1, *size]."""
        if self.slices:
            volume, header = np.ascontiguousarray(volume.transpose(order_of(header))), slices_last(header)
        volume = resampled(volume, resampled_shape(header, self.spacing))
        volume = scaled(volume, self.intensity[modality], header.path)
        return torch.from_numpy(volume)[None, None].to(self.device)

    def __call__(self, images: Mapping[str, torch.Tensor], header: Header) -> dict[str, torch.Tensor]:
        """Return probabilities [1, K, D, H, W] by name, in RAS, of the first of prepared volumes."""
        order = order_of(header) if self.slices else (0, 1, 2)
        outputs = self.predictor(images, [header.shape[axis] for axis in order])
        back = [0, 1, *(2 + order.index(axis) for axis in range(3))]
        return {name: output.permute(back) for name, output in outputs.items()}


def resampled_shape(header: Header, spacing: Sequence[float | None] | None) -> tuple[int, int, int]:
    """Return the shape of a volume at a spacing. The extent stays, so the spacing may differ by a part of a voxel."""
    first, second, third = (
        side if wanted is None else max(1, round(side * current / wanted))
        for side, current, wanted in zip(header.shape, header.spacing, spacing or (None,) * 3, strict=True)
    )
    if first * second * third > MOST_VOXELS:
        grown = f"{header.shape} voxels of {header.spacing} mm become {first, second, third} at data.spacing={spacing}"
        raise ValueError(f"{header.path}: {grown}; fix the header, or choose a larger spacing")
    return first, second, third


def scaled(volume: np.ndarray, intensity: Intensity, path: Path) -> np.ndarray:
    """Return a volume [D, H, W] with intensities transformed, float32; a ValueError if this fails or is not finite."""
    try:
        with np.errstate(all="ignore"):
            found = np.asarray(intensity(volume[None]), np.float32)[0]
        if found.shape != volume.shape:
            raise ValueError(f"it returns {list(found.shape)} voxels for {list(volume.shape)}")
    except (RuntimeError, TypeError, ValueError) as error:  # of MONAI, on the first volume
        name = type(intensity).__name__
        raise ValueError(f"{path}: {name} of data.intensity fails: {first_line(error)}; change its keys") from error
    if not np.isfinite(found).all():
        fix = "rescale the file, or change data.intensity"
        raise ValueError(f"{path}: some values are not finite after data.intensity; {fix}")
    return found


def resampled(volume: np.ndarray, shape: Sequence[int], nearest: bool = False) -> np.ndarray:
    """Return a volume [D, H, W] in another shape over the same extent, by linear or nearest interpolation."""
    if volume.shape == tuple(shape):
        return volume
    tensor = torch.from_numpy(volume.astype(np.float32, copy=False))[None, None]
    tensor = F.interpolate(tensor, tuple(shape), mode="nearest-exact" if nearest else "trilinear")
    return tensor[0, 0].numpy().astype(volume.dtype, copy=False)


def centered(volume: torch.Tensor, shape: Sequence[int], fill: int = 0) -> torch.Tensor:
    """Return a volume [..., *sides] padded about its center to a shape that is at least as large."""
    return F.pad(volume, _margins(volume.shape[-len(shape) :], shape), value=fill)


def uncentered(volume: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """Undo `centered` for a volume that had this shape."""
    return F.pad(volume, [-margin for margin in _margins(shape, volume.shape[-len(shape) :])])


def _margins(shape: Sequence[int], wanted: Sequence[int]) -> list[int]:
    """Return the voxels to add before and after a volume along each axis, from the last axis on."""
    missing = [larger - side for side, larger in zip(shape, wanted, strict=True)]
    return [margin for sides in reversed(missing) for margin in (sides // 2, sides - sides // 2)]


def common_shape(shapes: Sequence[Sequence[int]], least: Sequence[int]) -> tuple[int, ...]:
    """Return the smallest shape that is at least as large as each of `shapes` and `least`."""
    return tuple(max(sides) for sides in zip(*shapes, least, strict=True))
