"""Volumes and masks from NIfTI files, turned to one orientation; errors that name the file."""

import gzip
import zlib
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.orientations import apply_orientation, io_orientation, ornt_transform
from nibabel.spatialimages import HeaderDataError

from fovea.runtime.errors import first_few
from fovea.runtime.files import write_bytes

SUFFIXES = (".nii", ".nii.gz")
LEAST = 1e-6  # mm; an axis of the affine that is shorter leads nowhere


class Header(NamedTuple):
    """What a file says of its volume, once turned to RAS: axes from left to right, back to front, feet to head."""

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    """Sides of a voxel in mm."""
    affine: np.ndarray
    """Of the file itself, [4, 4]."""


def read_header(path: Path) -> Header:
    """The header of a volume, without its voxels.

    Raises:
        ValueError: the file is missing or damaged, has not three axes, or its affine is singular.
    """
    image = _opened(path)
    return _header(image, path)


def read_volume(path: Path) -> np.ndarray:
    """A volume in RAS, float32 [D, H, W], in the units of the file.

    Raises:
        ValueError: see `read_header`; also, a voxel is no finite number.
    """
    volume = _voxels(path).astype(np.float32, copy=False)
    if not np.isfinite(volume).all():
        raise ValueError(f"{path}: some voxels are no finite numbers; replace them")
    return volume


def read_labels(path: Path, classes: int) -> np.ndarray:
    """A mask in RAS, uint8 [D, H, W]: 0 the background, labels below `classes`.

    Raises:
        ValueError: see `read_header`; also, a value is no whole number, or no label.
    """
    values = _voxels(path)
    labels = np.unique(values)
    if not np.array_equal(labels, np.round(labels)):
        odd = labels[labels != np.round(labels)]
        raise ValueError(f"{path}: a mask holds whole numbers, here is {odd[0]:g}; save labels, not probabilities")
    if labels[0] < 0 or labels[-1] >= classes:
        unknown = labels[(labels < 0) | (labels >= classes)].astype(int).tolist()
        raise ValueError(
            f"{path}: unknown label {first_few(unknown, 3)}; labels are 0 to {classes - 1}: mend it, or data.classes"
        )
    return values.astype(np.uint8)


def write_labels(path: Path, labels: np.ndarray, like: Path) -> None:
    """Write labels in RAS, [D, H, W], as a NIfTI file on the grid of another file, in its orientation, whole or absent.

    Raises:
        ValueError: it cannot be written.
    """
    header = read_header(like)
    turned = apply_orientation(labels, ornt_transform(io_orientation(np.eye(4)), io_orientation(header.affine)))
    content = nib.Nifti1Image(turned.astype(np.uint8), header.affine).to_bytes()
    write_bytes(path, gzip.compress(content, mtime=0) if path.name.endswith(".gz") else content)


def _opened(path: Path) -> nib.spatialimages.SpatialImage:
    if not path.name.endswith(SUFFIXES):
        raise ValueError(f"{path}: not a NIfTI file by its name; it should end in {' or '.join(SUFFIXES)}")
    try:
        image = nib.load(path)
    except FileNotFoundError as error:
        raise ValueError(f"{path}: no such file; restore it, or take its entry out of the list") from error
    except (ImageFileError, HeaderDataError, OSError, EOFError, ValueError, zlib.error) as error:
        raise _damaged(path, error) from error
    assert isinstance(image, nib.spatialimages.SpatialImage)
    return image


def _header(image: nib.spatialimages.SpatialImage, path: Path) -> Header:
    affine = np.asarray(image.affine, np.float64)
    sides = np.linalg.norm(affine[:3, :3], axis=0) if np.isfinite(affine).all() else np.zeros(3)
    if (sides < LEAST).any() or abs(np.linalg.det(affine[:3, :3] / sides)) < LEAST:
        raise ValueError(f"{path}: its affine is singular, so that nobody knows where its voxels lie; mend the header")
    shape = image.shape[:3] if image.shape[3:] in ((), (1,)) else ()
    if len(shape) != 3 or 0 in shape:
        raise ValueError(f"{path}: {len(image.shape)} axes, {image.shape}; a volume has three, one channel")
    places = io_orientation(affine)[:, 0].astype(int)
    turned = {int(place): (shape[axis], float(sides[axis])) for axis, place in enumerate(places)}
    (depth, first), (height, second), (width, third) = (turned[axis] for axis in range(3))
    return Header((depth, height, width), (first, second, third), affine)


def _voxels(path: Path) -> np.ndarray:
    """All voxels of a file, in RAS."""
    image = _opened(path)
    header = _header(image, path)
    try:
        values = np.asanyarray(image.dataobj).reshape(image.shape[:3])
    except (ImageFileError, OSError, EOFError, ValueError, zlib.error) as error:
        raise _damaged(path, error) from error
    return np.ascontiguousarray(apply_orientation(values, io_orientation(header.affine)))


def _damaged(path: Path, error: Exception) -> ValueError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return ValueError(
        f"{path}: cannot be read as NIfTI ({reason}); replace the file, or take its entry out of the list"
    )
