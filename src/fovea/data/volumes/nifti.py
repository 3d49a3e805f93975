"""Read and write volumes and masks as NIfTI files, in RAS orientation."""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.orientations import apply_orientation, io_orientation, ornt_transform
from nibabel.spatialimages import HeaderDataError, SpatialImage

from fovea.losses import IGNORE
from fovea.runtime.errors import first_few
from fovea.runtime.files import write_bytes

SUFFIXES = (".nii", ".nii.gz")
SHORTEST = 1e-6  # mm; an axis of the affine that is shorter counts as zero


class Header(NamedTuple):
    """Geometry of a volume in RAS: its axes run from left to right, back to front, feet to head."""

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    """Sides of a voxel in mm."""
    affine: np.ndarray
    """[4, 4], as the file has it, before the volume is turned to RAS."""


def read_header(path: Path) -> Header:
    """Return the header of a volume; no voxel is read.

    Raises:
        ValueError: The file is missing or damaged, is not three-dimensional, or its affine is singular.
    """
    return _header(_open(path), path)


def read_volume(path: Path) -> np.ndarray:
    """Return a volume in RAS, float32 [D, H, W], in the units of the file.

    Raises:
        ValueError: See `read_header`; also, a voxel is not finite.
    """
    volume = _voxels(path).astype(np.float32, copy=False)
    if not np.isfinite(volume).all():
        raise ValueError(f"{path}: some voxels are not finite numbers; replace them")
    return volume


def read_labels(path: Path, classes: int, ignore_label: int | None = None) -> np.ndarray:
    """Return a mask in RAS, int16 [D, H, W]: 0 is the background, `IGNORE` a voxel without a label.

    Args:
        path: The file.
        classes: Labels are below this number.
        ignore_label: The value in the file that becomes `IGNORE`.

    Raises:
        ValueError: See `read_header`; also, a value is not a label.
    """
    values = _voxels(path)
    labels = np.unique(values)
    labels = labels[labels != ignore_label] if ignore_label is not None else labels
    if (odd := labels[labels != np.round(labels)]).size:
        raise ValueError(f"{path}: a mask must hold whole numbers, got {odd[0]:g}; save labels, not probabilities")
    if (unknown := labels[(labels < 0) | (labels >= classes)]).size:
        raise ValueError(
            f"{path}: unknown label {first_few(unknown.astype(int).tolist(), 3)}; labels are 0 to {classes - 1}: fix "
            "the mask, or set data.classes or data.ignore_label"
        )
    mask = values.astype(np.int16)
    if ignore_label is not None:
        mask[values == ignore_label] = IGNORE
    return mask


def read_map(path: Path) -> np.ndarray:
    """Return a continuous map in RAS, float32 [D, H, W] in [0, 1].

    Raises:
        ValueError: See `read_volume`; also, a value is outside [0, 1].
    """
    probability = read_volume(path)
    low, high = float(probability.min()), float(probability.max())
    if low < 0 or high > 1:
        raise ValueError(f"{path}: a map must be in [0, 1], got values from {low:g} to {high:g}; rescale it")
    return probability


def write_labels(path: Path, labels: np.ndarray, like: Path) -> None:
    """Write labels [D, H, W] in RAS as a NIfTI file with the grid and the orientation of another file.

    Raises:
        ValueError: The file cannot be written.
    """
    affine = read_header(like).affine
    turned = apply_orientation(labels, ornt_transform(io_orientation(np.eye(4)), io_orientation(affine)))
    content = nib.Nifti1Image(turned.astype(np.uint8), affine).to_bytes()
    write_bytes(path, gzip.compress(content, mtime=0) if path.name.endswith(".gz") else content)


def _open(path: Path) -> SpatialImage:
    if not path.name.endswith(SUFFIXES):
        raise ValueError(f"{path}: not a NIfTI file; its name must end in {' or '.join(SUFFIXES)}")
    with _damage_reported(path):
        image = nib.load(path)
    assert isinstance(image, SpatialImage)
    return image


def _header(image: SpatialImage, path: Path) -> Header:
    affine = np.asarray(image.affine, np.float64)
    sides = np.linalg.norm(affine[:3, :3], axis=0) if np.isfinite(affine).all() else np.zeros(3)
    if (sides < SHORTEST).any() or abs(np.linalg.det(affine[:3, :3] / sides)) < SHORTEST:
        raise ValueError(f"{path}: singular affine: cannot compute voxel positions; fix the header")
    if len(image.shape) < 3 or image.shape[3:] not in ((), (1,)) or 0 in image.shape:
        raise ValueError(f"{path}: shape {image.shape}; a volume must have three axes and one channel")
    first, second, third = np.argsort(io_orientation(affine)[:, 0])  # the axes of the file in the order of RAS
    shape = image.shape[first], image.shape[second], image.shape[third]
    return Header(shape, (float(sides[first]), float(sides[second]), float(sides[third])), affine)


def _voxels(path: Path) -> np.ndarray:
    """Return all voxels of a file in RAS, in its own type."""
    image = _open(path)
    shape = _header(image, path).shape
    with _damage_reported(path):
        return np.ascontiguousarray(nib.as_closest_canonical(image).dataobj).reshape(shape)


@contextmanager
def _damage_reported(path: Path) -> Iterator[None]:
    """Turn the errors of nibabel into one line with the path."""
    try:
        yield
    except FileNotFoundError as error:
        raise ValueError(f"{path}: no such file; restore it, or remove its entry from the list") from error
    except (ImageFileError, HeaderDataError, OSError, EOFError, ValueError, zlib.error) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(
            f"{path}: cannot be read as NIfTI ({reason}); replace it, or remove its entry from the list"
        ) from error
