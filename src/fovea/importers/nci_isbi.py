"""Import NCI-ISBI 2013 as downloaded (DICOM series with `metadata.csv`, NRRD masks) as a data root."""

import re
from collections.abc import Collection, Mapping
from pathlib import Path, PureWindowsPath
from typing import Any

import nrrd
import numpy as np
from pydicom.dataset import Dataset
from tqdm import tqdm

from fovea.data.images.dicom import read_header
from fovea.data.images.series import series_of
from fovea.data.splits import published
from fovea.data.volumes.grid import Header, difference
from fovea.importers.recordings.table import read_table
from fovea.importers.request import ImportRequest, ImportResult
from fovea.pictures.png import write_image
from fovea.runtime.errors import first_few
from fovea.runtime.files import make_folder, write_bytes, write_text

_MARK = ".fovea-import"  # in a folder that may be written again
_CASE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*")


class _CountsDifferError(ValueError):
    """The mask has another number of slices than the series: known for some cases of the download."""


class NciIsbiRaw:
    """Writes `images/<case>_<InstanceNumber>.dcm`, `masks/<same>.png`, `train.txt` and `test.txt`.

    Slice i of a mask belongs to the DICOM slice with InstanceNumber i + 1; file names are not used. Foreground is
    label 1 (peripheral zone) or more. Slices without foreground are left out, and with a warning also cases whose
    mask and series have different numbers of slices. Another warning names masks whose place in mm is not that of their
    series. The lists are the published ones, limited to the slices written.
    """

    def __call__(self, request: ImportRequest) -> ImportResult:
        """Write the data root `request.out` from the download `request.source`; ValueError if no case can be read."""
        series, masks = _series(request.source), _masks(request.source)
        cases = sorted({*series} & {*masks})
        if not cases:
            raise ValueError(f"{request.source}: no case has a DICOM series and an NRRD mask; unpack both there")
        old = [name for name in ("images", "masks", "train.txt", "test.txt") if (request.out / name).exists()]
        if old and not (request.out / _MARK).exists():
            raise ValueError(f"out: {request.out} has {old[0]}, which fovea-import did not write; set another folder")
        out = make_folder(request.out)
        write_text(out / _MARK, "written by fovea-import format=nci_isbi, which may replace the files\n")
        written: list[str] = []
        unmatched = {"a DICOM series and no mask": {*series} - {*masks}, "a mask and no series": {*masks} - {*series}}
        warnings = [f"{len(ids)} cases have {what}: {first_few(sorted(ids))}" for what, ids in unmatched.items() if ids]
        failures, apart = dict[str, str](), dict[str, str]()
        for case in tqdm(cases, desc="fovea-import", unit="case"):
            try:
                slices, apart[case] = _match(case, series[case], masks[case])
            except _CountsDifferError as error:
                warnings.append(f"left out {case}: {error}")
                continue
            except ValueError as error:
                failures[case] = str(error)
                continue
            if not written:  # a training refuses these lists, and so what an interrupted call left
                _write_lists(out)
            for name, (dicom, mask) in slices.items():
                write_bytes(out / "images" / f"{name}.dcm", dicom.read_bytes())
                write_image(out / "masks" / f"{name}.png", mask.astype(np.uint8) * 255)
                written.append(name)
        if elsewhere := [f"{case}: {how}" for case, how in apart.items() if how]:
            fix = f"they are paired by InstanceNumber, look whether they fit: {first_few(elsewhere, 2)}"
            warnings.append(f"{len(elsewhere)} masks have another place than their series; {fix}")
        if not written:
            raise ValueError(f"no case could be read; the first: {next(iter([*failures.values(), *warnings]))}")
        counts = ", ".join(_write_lists(out, set(written)))
        patients = len({name.rpartition("_")[0] for name in written})
        line = f"{len(written)} slices of {patients} cases in {out}; of the published lists {counts}"
        return ImportResult([line], warnings, failures)


def _write_lists(out: Path, there: Collection[str] | None = None) -> list[str]:
    """Write the published lists, limited to the slices that are there; return how many each has."""
    counts = []
    for split in ("train", "test"):
        names = published(f"nci_isbi_{split}")
        kept = [name for name in names if there is None or name in there]
        write_text(out / f"{split}.txt", "".join(f"{name}\n" for name in kept))
        counts.append(f"{split} {len(kept)} of {len(names)}")
    return counts


def _series(source: Path) -> dict[str, list[Path]]:
    """Return the folders of each case's series from every `metadata.csv`; refuse those outside the download."""
    tables = sorted(source.rglob("metadata.csv")) if source.is_dir() else []
    if not tables:
        raise ValueError(f"source: no metadata.csv below {source}; set the folder with the unpacked download")
    folders: dict[str, list[Path]] = {}
    for path in tables:
        table = read_table(path, ",", "Subject ID")
        columns = [table.texts(table.need(name, "download it again")) for name in ("Subject ID", "File Location")]
        for case, location in zip(*columns, strict=True):
            folder = path.parent / PureWindowsPath(location).as_posix()  # the NBIA retriever writes either slash
            if not folder.resolve().is_relative_to(path.parent.resolve()) or not _CASE.fullmatch(case):
                raise ValueError(f"{path}: {case!r} at {location!r} is outside of its folder; delete the line")
            folders.setdefault(case, []).append(folder)
    return folders


def _masks(source: Path) -> dict[str, list[Path]]:
    """Return NRRD files by case: `<case>.nrrd`, or with a suffix as in `<case>_truth.nrrd`."""
    files: dict[str, list[Path]] = {}
    for path in sorted(source.rglob("*.nrrd")):
        files.setdefault(path.stem.partition("_")[0], []).append(path)
    return files


def _match(case: str, folders: list[Path], masks: list[Path]) -> tuple[dict[str, tuple[Path, np.ndarray]], str]:
    """Return file and mask, bool [H, W], of the slices that show the prostate, and how the places of both differ.

    Refuse a series and a mask of other numbers or sizes of slices.
    """
    for what, paths in (("series", folders), ("masks", masks)):
        if len(paths) > 1:
            names = first_few(sorted(path.name for path in paths))
            raise ValueError(f"{case} has {len(paths)} {what}: {names}; keep one")
    labels, header = _read_mask(masks[0])
    slices = _numbered(folders[0])
    if len(slices) != labels.shape[2]:
        raise _CountsDifferError(f"{len(slices)} DICOM slices, but {masks[0].name} has {labels.shape[2]}")
    matched = {}
    for index in range(labels.shape[2]):
        if index + 1 not in slices:
            raise ValueError(f"{folders[0]}: no slice has InstanceNumber {index + 1}; download the series again")
        path, image = slices[index + 1]
        mask = labels[:, :, index].T >= 1
        if mask.shape != (int(image.Rows), int(image.Columns)):
            (height, width), (rows, columns) = (image.Rows, image.Columns), mask.shape
            sizes = f"{masks[0]} is {columns} x {rows} pixels, but {path.name} is {width} x {height}"
            raise ValueError(f"{sizes}; replace one")
        if mask.any():
            matched[f"{case}_{index + 1}"] = (path, mask)
    return matched, _apart(header, labels.shape, dict(slices[index + 1] for index in range(labels.shape[2])))


def _apart(header: Mapping[str, Any], shape: tuple[int, int, int], slices: Mapping[Path, Dataset]) -> str:
    """Return how the place of a mask differs from that of its slices in their order; empty if one does not tell it."""
    directions, origin = (np.asarray(header.get(f"space {name}"), float) for name in ("directions", "origin"))
    flipped = {"left-posterior-superior": -1, "lps": -1, "right-anterior-superior": 1, "ras": 1}
    sign = flipped.get(str(header.get("space")).lower())
    placed = [each for series in series_of(slices) for each in series]
    if sign is None or directions.shape != (3, 3) or origin.shape != (3,) or len(placed) < shape[2]:
        return ""
    first, last = placed[0], placed[-1]
    across = (last.position - first.position) / (shape[2] - 1)
    lines = first.directions * np.reshape(first.spacing[::-1], (2, 1))
    affines = np.eye(4), np.eye(4)
    affines[0][:3] = np.column_stack([*directions, origin])
    affines[1][:3] = np.column_stack([*lines, across, first.position])
    affines[0][:2] *= sign
    affines[1][:2] *= -1
    grids = [Header(Path(), shape, tuple(np.linalg.norm(each[:3, :3], axis=0)), each) for each in affines]
    return difference(*grids)


def _numbered(folder: Path) -> dict[int, tuple[Path, Dataset]]:
    """Return file and header of each slice by its InstanceNumber."""
    slices: dict[int, tuple[Path, Dataset]] = {}
    for path in sorted(folder.glob("*.dcm")):
        header = read_header(path)
        if (number := header.get("InstanceNumber")) is None:
            raise ValueError(f"{path}: no InstanceNumber, so its mask is unknown; download the series again")
        if int(number) in slices:
            raise ValueError(f"{path} and {slices[int(number)][0].name} both have InstanceNumber {number}; remove one")
        slices[int(number)] = (path, header)
    if not slices:
        raise ValueError(f"{folder}: no .dcm file; download the series again")
    return slices


def _read_mask(path: Path) -> tuple[np.ndarray, Mapping[str, Any]]:
    """Return labels [x, y, slice] and the header."""
    try:
        header = nrrd.read_header(str(path))
        detached = "data file" in header or "datafile" in header  # could name any file
        labels = None if detached else nrrd.read(str(path))[0]
    except Exception as error:  # pynrrd raises anything for damaged files
        reason = " ".join(str(error).split())[:80] or type(error).__name__
        raise ValueError(f"{path}: not an NRRD file, or damaged ({reason}); download it again") from error
    if labels is None:
        raise ValueError(f"{path}: its pixels are in another file; save it as one NRRD file")
    if labels.ndim != 3:
        raise ValueError(f"{path}: has {labels.ndim} axes, a mask needs 3; download it again")
    return labels, header
