"""Read and write volumes and masks as NIfTI files, in RAS orientation."""

import gzip
import logging
import math
import os
from collections.abc import Mapping
from io import IOBase
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.nifti1 import Nifti1Header, Nifti1Image
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation, ornt_transform

from fovea.data.decoding import decoding
from fovea.data.volumes.grid import ALIKE, LEAST, MOST, RATIO, Header
from fovea.losses import IGNORE
from fovea.runtime.errors import first_few
from fovea.runtime.files import write_bytes

SUFFIXES = (".nii.gz", ".nii")
UNITS = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}  # mm by code: unknown, meter, millimeter, micron
PADDING = 2**16  # bytes that a file may have after its voxels
VECTORS = (*range(1004, 1011), 2003, 2004)  # intent codes of several numbers in a voxel
# The fields of a header that place the voxels. Viewers differ in what they make of them, so a mask repeats them.
PLACE = ["pixdim", "xyzt_units", "qform_code", "sform_code", "srow_x", "srow_y", "srow_z"]
PLACE += ["quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"]
log = logging.getLogger(__name__)


def read_header(path: Path) -> Header:
    """Return the header of a volume; no voxel is read.

    A ValueError if the file is damaged, has no single numbers on a 3-D grid, or does not say where they lie.
    """
    return _header(*_open(path), path)


def stored_type(path: Path) -> np.dtype:
    """Return the type of the numbers in a file; raises like `read_header`."""
    return _open(path)[0].get_data_dtype()


def read_volume(path: Path) -> np.ndarray:
    """Return a volume in RAS, float32 [D, H, W], in the units of the file; raises also if a voxel is not finite."""
    with np.errstate(over="ignore"):
        volume = _voxels(path).astype(np.float32, copy=False)
    if not np.isfinite(volume).all():
        raise ValueError(f"{path}: some voxels are not finite numbers; replace them")
    return volume


def read_labels(path: Path, classes: Mapping[int, int], ignore_label: int | None = None) -> np.ndarray:
    """Return a mask in RAS, int16 [D, H, W]: classes, 0 the background, `IGNORE` a voxel without a label.

    `classes` has the class of each value in the file, where `ignore_label` becomes `IGNORE`. Whole numbers that the
    file scales to, e.g. 85 by 3 / 255, are off by up to half a step. Raises like `read_header`, or if a value is not a
    label.
    """
    image, values = _open(path)[0], _voxels(path)
    proxy: Any = image.dataobj
    step = abs(proxy.slope) if image.get_data_dtype().kind in "iu" else 0.0
    stored, known = np.unique(values), {**classes} if ignore_label is None else {**classes, ignore_label: IGNORE}
    with np.errstate(invalid="ignore"):  # of infinite values
        if (odd := stored[~(np.abs(stored - np.round(stored)) <= (0.5001 * step if step < 1 else 0))]).size:
            raise ValueError(f"{path}: a mask must hold whole numbers, got {odd[0]}; save labels, not probabilities")
    values, found = np.round(values), np.unique(np.round(stored))
    if unknown := [f"{label:g}" for label in found if label not in known]:
        fix = "fix the mask, name it under labels in the list of cases, or set data.ignore_label"
        known_labels = ", ".join(map(str, classes))
        raise ValueError(f"{path}: unknown label {first_few(unknown, 3)}; labels are {known_labels}: {fix}")
    low, high = int(found[0]), int(found[-1])
    table = np.array([known.get(label, 0) for label in range(low, high + 1)], np.int16)
    return table[values.astype(np.int64) - low]


def read_map(path: Path) -> np.ndarray:
    """Return a continuous map in RAS, float32 [D, H, W]; raises like `read_volume`, or if a value is not in [0, 1]."""
    probability = read_volume(path)
    low, high = float(probability.min()), float(probability.max())
    if low < 0 or high > 1:
        raise ValueError(f"{path}: a map must be in [0, 1], got values from {low:g} to {high:g}; rescale it")
    return probability


def write_voxels(path: Path, voxels: np.ndarray, like: Path) -> None:
    """Write [D, H, W] in RAS, uint8 or float32, as NIfTI whose voxels lie on those of another file, in every viewer."""
    image, raw = _open(like)
    turned = apply_orientation(voxels, ornt_transform(io_orientation(np.eye(4)), io_orientation(image.affine)))
    written = type(image)(turned, None)
    for field in PLACE:
        written.header[field] = raw[field]
    save(path, written)


def save(path: Path, image: Nifti1Image) -> None:
    """Write a NIfTI file whole, with equal bytes for equal images."""
    content = image.to_bytes()
    write_bytes(path, gzip.compress(content, mtime=0) if path.name.endswith(".gz") else content)


def _open(path: Path) -> tuple[Nifti1Image, Nifti1Header]:
    """Return a file whose voxels are not read yet, and its header as found; nibabel corrects invalid fields."""
    if not path.name.lower().endswith(SUFFIXES):
        raise ValueError(f"{path}: not a NIfTI file; its name must end in {' or '.join(SUFFIXES)}")
    with decoding(path):
        path.stat()  # nibabel does not say why a file cannot be opened
        image = nib.load(path)
        if not isinstance(image, Nifti1Image):
            raise ValueError(f"{type(image).__name__} is not a volume")
        with _content(path) as file:
            raw = image.header_class.from_fileobj(file, check=False)
        shape, dtype = image.shape, image.get_data_dtype()
        needed = math.prod(shape) * dtype.itemsize + int(raw.get_data_offset())
        if min(shape) > 0 and not needed <= (length := _length(path, needed)) <= needed + PADDING:
            raise ValueError(f"its header announces {needed} bytes, but it has {length}")
        if raw["bitpix"] != 8 * dtype.itemsize:
            raise ValueError(f"bitpix is {raw['bitpix']}, but its datatype has {8 * dtype.itemsize} bits")
        for code in ("qform_code", "sform_code"):
            if raw[code] not in range(6):
                raise ValueError(f"{code} is {raw[code]}")
        if not raw["sform_code"] and (not (raw["pixdim"][1:4] > 0).all() or raw["pixdim"][0] not in (-1, 0, 1)):
            raise ValueError(f"pixdim is {raw['pixdim'][:4].tolist()}")
        if int(raw["xyzt_units"]) % 8 not in UNITS:
            raise ValueError(f"xyzt_units is {raw['xyzt_units']}")
        if np.isinf(raw["scl_slope"]):
            raise ValueError("scl_slope is infinite")
    if dtype.names or dtype.kind == "c" or int(raw["intent_code"]) in VECTORS:
        found = "colors" if dtype.names else "complex numbers" if dtype.kind == "c" else "vectors"
        raise ValueError(f"{path}: its voxels are {found}; save one number for each voxel")
    if len(shape) < 3 or {*shape[3:]} - {1} or min(shape) < 1:
        raise ValueError(f"{path}: shape {shape}; a volume must have three axes and one channel")
    return image, raw


def _header(image: Nifti1Image, raw: Nifti1Header, path: Path) -> Header:
    unit = int(raw["xyzt_units"]) % 8
    affine = np.diag([UNITS[unit]] * 3 + [1.0]) @ np.asarray(image.affine, np.float64)
    sides = np.linalg.norm(affine[:3, :3], axis=0) if np.isfinite(affine).all() else np.zeros(3)
    if (sides < LEAST).any() or abs(np.linalg.det(affine[:3, :3] / sides)) < LEAST:
        raise ValueError(f"{path}: singular affine: cannot compute voxel positions; fix the header")
    if sides.max() > min(MOST, RATIO * sides.min()):
        text = " x ".join(f"{side:.4g}" for side in sides)
        raise ValueError(f"{path}: voxels of {text} mm; fix the affine or the unit (xyzt_units) in the header")
    if not unit:
        log_once("volumes without a unit in their header (xyzt_units): their lengths are taken as mm")
    if not raw["qform_code"] and not raw["sform_code"]:
        log_once("volumes without an orientation in their header: x is taken to run to the left, y to the front, z up")
    if np.abs(np.triu((affine[:3, :3] / sides).T @ (affine[:3, :3] / sides), 1)).max() > ALIKE:
        log_once("volumes whose axes are not perpendicular: scores in mm are computed as if they were")
    orientation = io_orientation(affine)
    first, second, third = np.argsort(orientation[:, 0])  # the axes of the file in the order of RAS
    shape = image.shape[first], image.shape[second], image.shape[third]
    spacing = float(sides[first]), float(sides[second]), float(sides[third])
    return Header(path, shape, spacing, affine @ inv_ornt_aff(orientation, image.shape[:3]))


def _voxels(path: Path) -> np.ndarray:
    """Return all voxels of a file in RAS, scaled as its header says."""
    image, raw = _open(path)
    shape = _header(image, raw, path).shape
    with decoding(path), np.errstate(all="ignore"), _content(path) as file:
        values = np.asarray(image.from_stream(file).dataobj)
        while file.read(2**20):  # to the end, where a gzip file has its checksum
            pass
    turned = apply_orientation(values.reshape(image.shape[:3]), io_orientation(image.affine))
    return np.ascontiguousarray(turned).reshape(shape)


def _length(path: Path, needed: int) -> int:
    """Return the number of bytes of a file, uncompressed. They are counted if a gzip file notes another number."""
    with path.open("rb") as file:
        if file.read(2) != b"\x1f\x8b":
            return path.stat().st_size
        file.seek(-4, os.SEEK_END)
        if needed <= (noted := int.from_bytes(file.read(), "little")) <= needed + PADDING:
            return noted
    with gzip.open(path) as content:  # it has 4 GiB or more, or several members, or is damaged
        return sum(map(len, iter(lambda: content.read(2**24), b"")))


def _content(path: Path) -> IOBase:
    return gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb")


_said: dict[str, object] = {}


def log_once(text: str) -> None:
    """Log a line once for each process; headers are read by several threads."""
    mine = object()
    if _said.setdefault(text, mine) is mine:
        log.info("%s", text)
