"""Series of DICOM slices: which files form one, and where its voxels lie."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.misc import is_dicom
from pydicom.uid import SegmentationStorage

from fovea.data.images.dicom import pixel_spacing, read_header
from fovea.data.predict_request import NOT_IN_PATHS
from fovea.data.volumes.grid import APART

DICOM = frozenset({".dcm"})  # suffixes of files that are DICOM whatever they begin with
_ALIKE = 1e-3  # how far direction cosines and sides of pixels, in mm, of one series may be apart
_GAP = 0.05  # the part of the mean distance between slices by which distances may differ


class Slice(NamedTuple):
    """A slice and its place, in mm in the directions left, back and up (DICOM's LPS)."""

    path: Path
    series: str  # its UID, as it may stand in a path
    shape: tuple[int, int]
    position: np.ndarray
    directions: np.ndarray  # [2, 3], along a row and along a column
    spacing: tuple[float, float]


class Grid(NamedTuple):
    """The voxels of a series: slices in the order of their positions."""

    files: list[Path]
    affine: np.ndarray  # [4, 4], from column, row and slice to mm in RAS, as NIfTI has it


def dicom_files(paths: Iterable[Path]) -> dict[Path, Dataset | None]:
    """Return the DICOM images among files and their headers, None where it cannot be read."""
    found: dict[Path, Dataset | None] = {}
    for path in paths:
        named, header = path.suffix.lower() in DICOM, None
        with suppress(OSError, ValueError):  # without the suffix, it may be a DICOMDIR
            header = read_header(path) if named or is_dicom(path) else None
        if (named or header is not None) and _is_image(path):
            found[path] = header
    return found


def _is_image(path: Path) -> bool:
    """Return whether a DICOM file is an image, not e.g. a report or a segmentation; True if it is damaged."""
    with suppress(Exception):  # pydicom raises various errors on damaged files
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["SOPClassUID", "Rows"])
        kind = header.SOPClassUID
        other = kind.name != kind and "Image" not in kind.name and "Rows" not in header  # an image may be cut short
        return not other and kind != SegmentationStorage
    return True


def series_of(headers: Mapping[Path, Dataset | None]) -> list[list[Slice]]:
    """Return the series of more than one slice: files of one folder with one series UID and a place."""
    series = defaultdict(list)
    for path, header in headers.items():
        if header is not None and (placed := _placed(path, header)):
            series[path.parent, placed.series].append(placed)
    return [slices for slices in series.values() if len(slices) > 1]


def _placed(path: Path, header: Dataset) -> Slice | None:
    spacing = pixel_spacing(header)
    try:
        position = np.array([float(value) for value in header.ImagePositionPatient])
        cosines = np.array([float(value) for value in header.ImageOrientationPatient]).reshape(2, 3)
        series = re.sub(NOT_IN_PATHS, "_", str(header.SeriesInstanceUID))
        shape = int(header.Rows), int(header.Columns)
        frames = int(header.get("NumberOfFrames") or 1)
    except Exception:  # the tags are optional, and pydicom raises various errors on invalid values
        return None
    if spacing is None or frames > 1 or position.shape != (3,) or not np.isfinite([*position, *cosines.flat]).all():
        return None
    return Slice(path, series, shape, position, cosines, spacing)


def grid_of(slices: Sequence[Slice]) -> Grid:
    """Sort slices by position; ValueError if they differ in size or direction, or are not evenly spaced on a line."""
    first, folder = slices[0], slices[0].path.parent
    alone = "set series=false to predict each file alone"
    fix = f"put each stack of slices into its own folder, or {alone}"
    shapes = sorted({each.shape for each in slices})
    if len(shapes) > 1:
        sizes = ", ".join(f"{width} x {height}" for height, width in shapes)
        raise ValueError(f"{folder}: a series of slices of mixed sizes ({sizes}); {fix}")
    for each in slices:
        near = np.allclose(each.directions, first.directions, atol=_ALIKE)
        if not near or not np.allclose(each.spacing, first.spacing, atol=_ALIKE):
            pair = f"{first.path.name} and {each.path.name}"
            raise ValueError(f"{folder}: a series whose slices {pair} differ in orientation or pixel spacing; {fix}")
    normal = np.cross(*first.directions)
    ordered = sorted(slices, key=lambda each: float(each.position @ normal))
    gaps = np.diff([float(each.position @ normal) for each in ordered])
    same, wide = int(gaps.argmin()), int(gaps.argmax())
    if gaps[same] <= _GAP * gaps.mean():
        pair = f"{ordered[same].path.name} and {ordered[same + 1].path.name}"
        raise ValueError(f"{folder}: {pair} of one series are at one position; {fix}")
    if gaps[wide] > (1 + _GAP) * np.median(gaps):
        pair = f"{ordered[wide].path.name} and {ordered[wide + 1].path.name} {gaps[wide]:.4g} mm"
        distance = f"{np.median(gaps):.4g} mm apart, but {pair}"
        raise ValueError(f"{folder}: slices of one series are {distance}; add the missing ones, or {alone}")
    step = (ordered[-1].position - ordered[0].position) / (len(ordered) - 1)
    evenly = ordered[0].position + np.arange(len(ordered))[:, None] * step
    apart = np.linalg.norm([each.position for each in ordered] - evenly, axis=1)
    if apart.max() > APART * gaps.mean():
        most = f"{apart.max():.3g} mm ({ordered[int(apart.argmax())].path.name})"
        raise ValueError(f"{folder}: slices of one series are up to {most} away from even spacing on a line; {alone}")
    height, width = first.spacing
    affine = np.eye(4)
    affine[:3, :2] = (first.directions * [[width], [height]]).T
    affine[:3, 2] = step
    affine[:3, 3] = ordered[0].position
    affine[:2] *= -1  # from LPS to RAS
    return Grid([each.path for each in ordered], affine)
