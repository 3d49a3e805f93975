"""NCI-ISBI 2013 as it is downloaded: DICOM series with `metadata.csv`, NRRD masks; as a data root."""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

import nrrd
import numpy as np
from tqdm import tqdm

from fovea.data.images.files import write_image
from fovea.data.images.nci_isbi import read_header
from fovea.data.splits import published
from fovea.importers.request import ImportRequest, ImportResult
from fovea.runtime.errors import first_few
from fovea.runtime.files import make_folder, write_bytes, write_text

_CASE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*")
_COLUMNS = ("Subject ID", "File Location")
_SPLITS = ("train", "test")


class _CountsDifferError(ValueError):
    """A mask of fewer or more slices than the series: known of the download, and no damage."""


class NciIsbiRaw:
    """Writes `images/<case>_<InstanceNumber>.dcm`, `masks/<same>.png`, `train.txt` and `test.txt`.

    Slices and masks are matched by the headers' InstanceNumber, which is i + 1 for `mask[:, :, i]`; the file names
    are not looked at. Foreground is label 1 (peripheral zone) or more; slices without any are left out, and so is,
    with a warning, a case whose mask has fewer or more slices than its series. The lists are the published ones
    (`fovea.data.images.nci_isbi`) as far as their slices are there.
    """

    def __call__(self, request: ImportRequest) -> ImportResult:
        """Read the download `request.source` and write the data root `request.out`; a bad case does not stop the others.

        Raises:
            ValueError: there is no metadata.csv or no mask, no case could be read, or a file cannot be written.
        """
        series, masks = _series(request.source), _masks(request.source)
        cases = sorted({*series} & {*masks})
        if not cases:
            raise ValueError(f"{request.source}: no case has a DICOM series and an NRRD mask; unpack both downloads there")
        out = make_folder(request.out.expanduser())
        written: list[str] = []
        warnings, failures = _unmatched(series, masks), {}
        for case in tqdm(cases, desc="fovea-import", unit="case"):
            try:
                slices = _match(case, series[case], masks[case])
            except _CountsDifferError as error:
                warnings.append(f"left out {case}: {error}")
                continue
            except ValueError as error:
                failures[case] = str(error)
                continue
            for each in slices:
                each.write(out)
                written.append(each.name)
        if not written:
            raise ValueError(f"no case could be used; the first: {next(iter([*failures.values(), *warnings]))}")
        counts = [f"{split} {count} of {total}" for split, count, total in _write_lists(out, written)]
        patients = len({name.rpartition("_")[0] for name in written})
        line = f"{len(written)} slices of {patients} cases in {out}; of the published lists {', '.join(counts)}"
        return ImportResult([line], warnings, failures)


@dataclass(frozen=True)
class _Slice:
    """A slice and its mask, bool [H, W]."""

    name: str
    dicom: Path
    mask: np.ndarray

    def write(self, out: Path) -> None:
        write_bytes(out / "images" / f"{self.name}.dcm", self.dicom.read_bytes())
        write_image(out / "masks" / f"{self.name}.png", self.mask.astype(np.uint8) * 255)


def _series(source: Path) -> dict[str, list[Path]]:
    """The folders of each case's series, from every `metadata.csv`; none of them leads out of its download."""
    tables = sorted(source.rglob("metadata.csv")) if source.is_dir() else []
    if not tables:
        raise ValueError(f"source: no metadata.csv below {source}; name the folder that the download was unpacked into")
    found: dict[str, list[Path]] = {}
    for table in tables:
        for case, location in _metadata(table):
            folder = table.parent / PureWindowsPath(location).as_posix()  # the NBIA retriever writes either slash
            if not folder.resolve().is_relative_to(table.parent.resolve()) or not _CASE.fullmatch(case):
                raise ValueError(f"{table}: {case!r} at {location!r} leads out of its folder; mend or delete the line")
            found.setdefault(case, []).append(folder)
    return found


def _metadata(table: Path) -> Iterator[tuple[str, str]]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            if absent := [name for name in _COLUMNS if name not in (reader.fieldnames or ())]:
                raise ValueError(f"{table}: no column {', '.join(absent)}; download it again")
            for row in reader:
                yield (row["Subject ID"] or "").strip(), (row["File Location"] or "").strip()
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{table}: cannot be read as CSV in UTF-8; download it again") from error


def _masks(source: Path) -> dict[str, list[Path]]:
    """NRRD files by case: `<case>.nrrd`, or with something behind an underscore (`<case>_truth.nrrd`)."""
    found: dict[str, list[Path]] = {}
    for path in sorted(source.rglob("*.nrrd")):
        found.setdefault(path.stem.partition("_")[0], []).append(path)
    return found


def _unmatched(series: dict[str, list[Path]], masks: dict[str, list[Path]]) -> list[str]:
    lines = []
    for there, absent, what in ((series, masks, "a DICOM series and no mask"), (masks, series, "a mask and no series")):
        if names := sorted(set(there) - set(absent)):
            lines.append(f"{len(names)} cases have {what}: {first_few(names)}")
    return lines


def _match(case: str, folders: list[Path], masks: list[Path]) -> list[_Slice]:
    """The slices of a case in which the prostate is present.

    Raises:
        ValueError: a file is bad, or the two do not belong together.
    """
    for kind, paths in (("series", folders), ("masks", masks)):
        if len(paths) > 1:
            raise ValueError(
                f"{case} has {len(paths)} {kind}: {first_few(sorted(each.name for each in paths))}; keep one"
            )
    labels = _read_mask(masks[0])
    slices = _numbered(folders[0])
    if len(slices) != labels.shape[2]:
        raise _CountsDifferError(f"{len(slices)} DICOM slices, but {masks[0].name} has {labels.shape[2]}")
    matched = []
    for index in range(labels.shape[2]):
        if index + 1 not in slices:
            raise ValueError(f"{folders[0]}: no slice has InstanceNumber {index + 1}; download the series again")
        path, size = slices[index + 1]
        mask = labels[:, :, index].T >= 1
        if mask.shape != size:
            (height, width), (rows, columns) = size, mask.shape
            raise ValueError(
                f"{masks[0]} is {columns} x {rows} pixels, but {path.name} is {width} x {height}; replace one"
            )
        if mask.any():
            matched.append(_Slice(f"{case}_{index + 1}", path, mask))
    return matched


def _numbered(folder: Path) -> dict[int, tuple[Path, tuple[int, int]]]:
    """File, height and width of each slice by its InstanceNumber."""
    found: dict[int, tuple[Path, tuple[int, int]]] = {}
    for path in sorted(folder.glob("*.dcm")):
        header = read_header(path)
        if (number := header.get("InstanceNumber")) is None:
            raise ValueError(f"{path}: no InstanceNumber, so its mask is not known; download the series again")
        if int(number) in found:
            raise ValueError(f"{path} and {found[int(number)][0].name} both have InstanceNumber {number}; remove one")
        found[int(number)] = (path, (int(header.Rows), int(header.Columns)))
    if not found:
        raise ValueError(f"{folder}: no .dcm file; download the series again")
    return found


def _read_mask(path: Path) -> np.ndarray:
    """Labels [x, y, slice]."""
    mend = "download it again"
    try:
        header = nrrd.read_header(str(path))
        elsewhere = "data file" in header or "datafile" in header  # the pixels may be in any file that it names
        labels = None if elsewhere else nrrd.read(str(path))[0]
    except Exception as error:  # pynrrd raises whatever a damaged file leads it into
        reason = " ".join(str(error).split())[:80] or type(error).__name__
        raise ValueError(f"{path}: not an NRRD file, or damaged ({reason}); {mend}") from error
    if labels is None:
        raise ValueError(f"{path}: its pixels are in another file; save it as one NRRD file")
    if labels.ndim != 3:
        raise ValueError(f"{path}: {labels.ndim} axes, a mask has 3; {mend}")
    return labels


def _write_lists(out: Path, written: list[str]) -> Iterator[tuple[str, int, int]]:
    """Write the published lists as far as their slices are there: split, slices there, slices published."""
    there = set(written)
    for split in _SPLITS:
        names = published(f"nci_isbi_{split}")
        kept = [name for name in names if name in there]
        write_text(out / f"{split}.txt", "".join(f"{name}\n" for name in kept))
        yield split, len(kept), len(names)
