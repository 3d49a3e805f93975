"""Whole volumes at one spacing and on one intensity scale."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import EllipsisType
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch.nn import functional as F

from fovea.data.volumes.misalignment import Misalignment
from fovea.data.volumes.nifti import Header, read_header, read_volume
from fovea.data.volumes.pairs import Pairs

Intensity = Callable[[np.ndarray], Any]
"""A transform of MONAI: maps a volume [1, D, H, W] to one of the same shape."""


class Array(NamedTuple):
    """The name of one array of a case."""

    what: Literal["image", "mask"]
    modality: str

    def __str__(self) -> str:
        return "-".join(self)


class Prepared:
    """The volumes, and the masks on request, of some cases, as a cache keeps them (`fovea.data.cache.Source`).

    Images are float32 [D, H, W], masks int16 of the same shape.

    Args:
        dataset: The cases.
        ids: The cases to read.
        masks: Whether to read their masks; otherwise no mask is opened.
        spacing: Sides of a voxel in mm, in RAS. Null at an axis, or for all, keeps that of each volume.
        intensity: A transform for each modality that makes its intensities comparable.
    """

    def __init__(
        self,
        dataset: Pairs,
        ids: Sequence[str],
        masks: bool,
        spacing: Sequence[float | None] | None,
        intensity: Mapping[str, Intensity],
    ) -> None:
        self.dataset, self.ids, self.masks = dataset, list(ids), masks
        self.spacing, self.intensity = spacing, intensity
        images = [Array("image", name) for name in dataset.modalities]
        self.kinds = (*images, *(Array("mask", name) for name in dataset.modalities if masks))

    def read(self, array: Array, index: int) -> np.ndarray:
        """Return an array of a case; a file that is missing or damaged raises a ValueError."""
        case, modality = self.ids[index], array.modality
        shape = self.shape(case, modality)
        if array.what == "mask":
            return resampled(self.dataset.mask(case, modality), shape, nearest=True)
        return scaled(resampled(self.dataset.volume(case, modality), shape), self.intensity[modality])

    def layout(self, array: Array) -> tuple[list[tuple[int, ...]], np.dtype]:
        """Return the shape of the array of each case, from the headers alone, and the common type."""
        shapes: list[tuple[int, ...]] = [self.shape(case, array.modality) for case in self.ids]
        return shapes, np.dtype(np.int16 if array.what == "mask" else np.float32)

    def shape(self, case: str, modality: str) -> tuple[int, int, int]:
        """Return the shape of a volume at the common spacing."""
        return resampled_shape(self.dataset.header(case, modality), self.spacing)

    def made_of(self, array: Array) -> dict[str, Any]:
        """See `fovea.data.cache.Source`."""
        intensity = self.intensity[array.modality]
        path = self.dataset.mask_path if array.what == "mask" else self.dataset.image_path
        return {
            "spacing": self.spacing,
            "intensity": str(sorted(vars(intensity).items(), key=str)),
            "misalignment": vars(self.dataset.misalignment) if self.dataset.misalignment else None,
            "classes": self.dataset.classes,
            "ignore_label": self.dataset.ignore_label,
            "root": str(self.dataset.root.resolve()),
            "files": [path(case, array.modality) for case in self.ids],
            "code": [type(self.dataset), Prepared, Header, Misalignment, type(intensity)],
        }


def prepare_volume(path: Path, spacing: Sequence[float | None] | None, intensity: Intensity) -> np.ndarray:
    """Return a volume from a file as a network takes it; see `read_volume` for errors."""
    return scaled(resampled(read_volume(path), resampled_shape(read_header(path), spacing)), intensity)


def resampled_shape(header: Header, spacing: Sequence[float | None] | None) -> tuple[int, int, int]:
    """Return the shape of a volume at a spacing. The extent stays, so the spacing may differ by a part of a voxel."""
    first, second, third = (
        side if wanted is None else max(1, round(side * current / wanted))
        for side, current, wanted in zip(header.shape, header.spacing, spacing or (None,) * 3, strict=True)
    )
    return first, second, third


def scaled(volume: np.ndarray, intensity: Intensity) -> np.ndarray:
    """Return a volume [D, H, W] with its intensities transformed, float32."""
    return np.asarray(intensity(volume[None]), np.float32)[0]


def resampled(volume: np.ndarray, shape: Sequence[int], nearest: bool = False) -> np.ndarray:
    """Return a volume [D, H, W] in another shape over the same extent, by linear or nearest interpolation."""
    if volume.shape == tuple(shape):
        return volume
    tensor = torch.from_numpy(volume.astype(np.float32, copy=False))[None, None]
    if nearest:
        tensor = F.interpolate(tensor, tuple(shape), mode="nearest-exact")
    else:
        tensor = F.interpolate(tensor, tuple(shape), mode="trilinear", align_corners=False)
    return tensor[0, 0].numpy().astype(volume.dtype, copy=False)


def centered(volume: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """Return a volume [..., D, H, W] padded with zeros about its center to a shape that is at least as large."""
    pads: list[int] = []
    for side, wanted in zip(reversed(volume.shape[-3:]), reversed(shape), strict=True):
        before = (wanted - side) // 2
        pads += [before, wanted - side - before]
    return F.pad(volume, pads) if any(pads) else volume


def uncentered(volume: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """Undo `centered` for a volume that had this shape."""
    places: list[EllipsisType | slice] = [...]
    for side, wanted in zip(volume.shape[-3:], shape, strict=True):
        before = (side - wanted) // 2
        places.append(slice(before, before + wanted))
    return volume[tuple(places)]


def common_shape(shapes: Sequence[Sequence[int]], least: Sequence[int]) -> tuple[int, ...]:
    """Return the smallest shape that is at least as large as each of `shapes` and `least`."""
    return tuple(max(sides) for sides in zip(*shapes, least, strict=True))
