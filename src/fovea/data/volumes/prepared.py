"""Volumes as a network takes them, but whole: resampled to one spacing, and of one scale of intensities."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import EllipsisType
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from fovea.data.volumes.misalignment import Misalignment
from fovea.data.volumes.nifti import Header, read_header, read_volume
from fovea.data.volumes.pairs import Pairs

Intensity = Callable[[np.ndarray], Any]  # a transform of MONAI: a volume [1, D, H, W] to one of the same shape


class Prepared:
    """The volumes, and masks where they are asked for, of some cases: what a cache keeps (`fovea.data.cache.Source`).

    Kinds are `image <modality>`, float32 [D, H, W], and `mask <modality>`, uint8 of the same shape.

    Args:
        dataset: The cases.
        ids: Those that are read.
        masks: Whether their masks are read; else no mask is ever opened.
        spacing: Sides of a voxel in mm, in RAS; null at an axis, or for all: as each volume has it.
        intensity: What makes the intensities of each modality comparable.
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
        kinds = ("image", "mask") if masks else ("image",)
        self.kinds = tuple(f"{kind} {name}" for kind in kinds for name in dataset.modalities)

    def read(self, kind: str, index: int) -> np.ndarray:
        """The array of a kind of a case.

        Raises:
            ValueError: the file is missing, damaged, or of another shape than its header says.
        """
        what, _, modality = kind.partition(" ")
        case = self.ids[index]
        shape = self.shape(case, modality)
        if what == "mask":
            return resampled(self.dataset.mask(case, modality), shape)
        return scaled(resampled(self.dataset.volume(case, modality), shape), self.intensity[modality])

    def layout(self, kind: str) -> tuple[list[tuple[int, ...]], np.dtype]:
        """The shape of each array of a kind, by the headers alone, and the type of all."""
        what, _, modality = kind.partition(" ")
        shapes: list[tuple[int, ...]] = [self.shape(case, modality) for case in self.ids]
        return shapes, np.dtype(np.uint8 if what == "mask" else np.float32)

    def shape(self, case: str, modality: str) -> tuple[int, int, int]:
        """The shape of a case's volume at the common spacing."""
        return resampled_shape(self.dataset.header(case, modality), self.spacing)

    def made_of(self, kind: str) -> dict[str, Any]:
        """See `fovea.data.cache.Source`."""
        what, _, modality = kind.partition(" ")
        names = self.dataset.modalities if what == "mask" else [modality]  # masks are held against one another
        path = self.dataset.mask_path if what == "mask" else self.dataset.image_path
        return {
            "spacing": self.spacing,
            "intensity": str(sorted(vars(self.intensity[modality]).items(), key=str)),
            "misalignment": vars(self.dataset.misalignment) if self.dataset.misalignment else None,
            "classes": self.dataset.classes,
            "root": str(self.dataset.root.resolve()),
            "files": [path(case, name) for case in self.ids for name in names],
            "code": [type(self.dataset), Prepared, Header, Misalignment, type(self.intensity[modality])],
        }


def prepare_volume(path: Path, spacing: Sequence[float | None] | None, intensity: Intensity) -> np.ndarray:
    """A volume from a file as a network takes it; see `Prepared`, and `read_volume` for errors."""
    return scaled(resampled(read_volume(path), resampled_shape(read_header(path), spacing)), intensity)


def resampled_shape(header: Header, spacing: Sequence[float | None] | None) -> tuple[int, int, int]:
    """The shape of a volume at a spacing; the extent stays, so that the spacing may be off by a part of a voxel."""
    first, second, third = (
        side if wanted is None else max(1, round(side * given / wanted))
        for side, given, wanted in zip(header.shape, header.spacing, spacing or (None,) * 3, strict=True)
    )
    return first, second, third


def scaled(volume: np.ndarray, intensity: Intensity) -> np.ndarray:
    """A volume [D, H, W] with its intensities transformed, float32."""
    return np.asarray(intensity(volume[None]), np.float32)[0]


def resampled(volume: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """A volume [D, H, W] in another shape over the same extent: linearly, or labels (uint8) by the nearest voxel."""
    if volume.shape == tuple(shape):
        return volume
    tensor = torch.from_numpy(volume)[None, None]
    if volume.dtype == np.uint8:
        return F.interpolate(tensor, tuple(shape), mode="nearest-exact")[0, 0].numpy()
    return F.interpolate(tensor, tuple(shape), mode="trilinear", align_corners=False)[0, 0].numpy()


def centred(volume: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """A volume [..., D, H, W] padded with zeros to a shape that is nowhere smaller, its centre in the centre."""
    pads: list[int] = []
    for side, wanted in zip(reversed(volume.shape[-3:]), reversed(shape), strict=True):
        before = (wanted - side) // 2
        pads += [before, wanted - side - before]
    return F.pad(volume, pads) if any(pads) else volume


def uncentred(volume: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """What `centred` made of a volume of this shape, as that was."""
    places: list[EllipsisType | slice] = [...]
    for side, wanted in zip(volume.shape[-3:], shape, strict=True):
        before = (side - wanted) // 2
        places.append(slice(before, before + wanted))
    return volume[tuple(places)]


def common_shape(shapes: Sequence[Sequence[int]], least: Sequence[int]) -> tuple[int, ...]:
    """The smallest shape that is nowhere smaller than any of some shapes, nor than the least."""
    return tuple(max(sides) for sides in zip(*shapes, least, strict=True))
