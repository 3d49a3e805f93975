"""The download of NCI-ISBI 2013: slices and masks meet by InstanceNumber, whatever the files are called."""

from collections.abc import Sequence
from pathlib import Path

import nrrd
import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from fovea.data.images.files import read_mask
from fovea.data.images.nci_isbi import NciIsbi
from fovea.importers.nci_isbi import NciIsbiRaw
from fovea.importers.task import Outcome, Task

ROWS, COLUMNS = 12, 10
CASE, OTHER = "Prostate3T-01-0003", "Prostate3T-03-0002"


def write_dicom(path: Path, number: int | None, shape: tuple[int, int] = (ROWS, COLUMNS)) -> None:
    """A slice whose every pixel but two is 100 times its InstanceNumber."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = MRImageStorage, "1.2.3"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    slice_ = FileDataset(path, {}, file_meta=meta, preamble=b"\0" * 128)
    slice_.SOPClassUID, slice_.SOPInstanceUID = MRImageStorage, "1.2.3"
    if number is not None:
        slice_.InstanceNumber = number
    slice_.Rows, slice_.Columns = shape
    slice_.SamplesPerPixel, slice_.PhotometricInterpretation = 1, "MONOCHROME2"
    slice_.BitsAllocated, slice_.BitsStored, slice_.HighBit, slice_.PixelRepresentation = 16, 12, 11, 0
    pixels = np.full(shape, 100 * (number or 1), np.uint16)
    pixels[0, :2] = 0, 4000
    slice_.PixelData = pixels.tobytes()
    slice_.save_as(path, enforce_file_format=True)


def write_case(root: Path, case: str, numbers: Sequence[int | None], depth: int | None = None) -> Path:
    """A series and its mask: label 2 at row i, column 3 of the slice i + 1, label 1 at column 4; the last has none."""
    part = "Testing" if "-03-" in case else "Training"
    manifest = root / f"ISBI-Prostate-{part}" / "manifest-1"
    series = manifest / "Prostate-3T" / case / "study" / "series"
    series.mkdir(parents=True)
    table = manifest / "metadata.csv"
    if not table.exists():
        table.write_text("Series UID,Subject ID,File Location\n")
    with table.open("a") as file:
        file.write(f"1.2,{case},.\\Prostate-3T\\{case}\\study\\series\n")
    for place, number in enumerate(numbers):
        # Named against their order, and so that a pattern such as *5.dcm finds more than one.
        write_dicom(series / f"1-{len(numbers) - place:02}.dcm", number)
    labels = np.zeros((COLUMNS, ROWS, depth or len(numbers)), np.uint8)
    for index in range(labels.shape[2] - 1):
        labels[3, index % ROWS, index], labels[4, index % ROWS, index] = 2, 1
    masks = root / f"NCI-ISBI-2013-Prostate-Challenge-{part}"
    masks.mkdir(exist_ok=True)
    nrrd.write(str(masks / f"{case}{'_truth' if part == 'Testing' else ''}.nrrd"), labels)
    return series


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    write_case(tmp_path / "raw", CASE, [4, 1, 3, 2, 5])
    write_case(tmp_path / "raw", OTHER, [1, 2, 3])
    return tmp_path / "raw"


def bring(raw: Path) -> tuple[Outcome, Path]:
    return NciIsbiRaw()(Task(raw, raw.parent / "out")), raw.parent / "out"


def test_slices_and_masks_meet_by_instance_number(raw: Path) -> None:
    _, out = bring(raw)
    for number in (1, 2, 3, 4):
        path = out / "images" / f"{CASE}_{number}.dcm"
        assert pydicom.dcmread(path).InstanceNumber == number
        mask = read_mask(out / "masks" / f"{CASE}_{number}.png")
        assert np.argwhere(mask).tolist() == [[number - 1, 3], [number - 1, 4]]


def test_slices_without_the_prostate_are_left_out(raw: Path) -> None:
    _, out = bring(raw)
    expected = {*(f"{CASE}_{number}" for number in (1, 2, 3, 4)), f"{OTHER}_1", f"{OTHER}_2"}
    assert {path.stem for path in (out / "images").iterdir()} == expected
    assert {path.stem for path in (out / "masks").iterdir()} == expected


def test_the_published_lists_are_written_as_far_as_slices_are_there(tmp_path: Path) -> None:
    write_case(tmp_path / "raw", CASE, range(1, 21))
    write_case(tmp_path / "raw", OTHER, range(1, 21))
    outcome, out = bring(tmp_path / "raw")
    train, test = ((out / f"{split}.txt").read_text().split() for split in ("train", "test"))
    assert {name.rpartition("_")[0] for name in train} == {CASE}
    assert {name.rpartition("_")[0] for name in test} == {OTHER}
    assert f"train {len(train)} of 789, test {len(test)} of 117" in outcome.lines[0]
    assert 10 < len(train) < 20 and 10 < len(test) < 20
    NciIsbi(out).check(train + test, masks=True)


def test_a_mask_of_fewer_slices_is_left_out_with_a_warning(raw: Path) -> None:
    write_case(raw, "ProstateDx-01-0055", [1, 2, 3, 4], depth=3)
    outcome, out = bring(raw)
    assert outcome.warnings == ["left out ProstateDx-01-0055: 4 DICOM slices, but ProstateDx-01-0055.nrrd has 3"]
    assert not outcome.failures
    assert not list(out.glob("*/ProstateDx*"))


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ([1, None, 3], r"1-02\.dcm: no InstanceNumber"),
        ([1, 2, 2], r"1-02\.dcm and 1-01\.dcm both have InstanceNumber 2; remove one"),
        ([2, 3, 4], "no slice has InstanceNumber 1"),
    ],
)
def test_a_bad_series_is_named_and_the_others_are_done(raw: Path, numbers: list[int | None], message: str) -> None:
    write_case(raw, "ProstateDx-01-0001", numbers)
    outcome, out = bring(raw)
    assert list(outcome.failures) == ["ProstateDx-01-0001"]
    with pytest.raises(ValueError, match=message):
        raise ValueError(outcome.failures["ProstateDx-01-0001"])
    assert len(list((out / "images").iterdir())) == 6 and not list(out.glob("*/ProstateDx*"))


def test_a_mask_of_another_size(raw: Path) -> None:
    write_dicom(next(raw.glob(f"**/{CASE}/**/1-01.dcm")), 5, (ROWS + 2, COLUMNS))
    outcome, _ = bring(raw)
    assert f"{CASE}.nrrd is 10 x 12 pixels, but 1-01.dcm is 10 x 14; replace one" in outcome.failures[CASE]


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"NRRD0005\ntype: uint8\ndimension: 3\nsizes: 9 9 9\nencoding: gzip\n\nx"]
)
def test_what_is_no_mask(raw: Path, content: bytes) -> None:
    next(raw.glob(f"**/{CASE}.nrrd")).write_bytes(content)
    outcome, _ = bring(raw)
    assert f"{CASE}.nrrd: not an NRRD file, or damaged" in outcome.failures[CASE]


def test_a_mask_that_points_at_another_file_is_refused(raw: Path) -> None:
    header = "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 10 12 5\nencoding: raw\ndata file: ../../../secret\n"
    next(raw.glob(f"**/{CASE}.nrrd")).write_text(header)
    outcome, _ = bring(raw)
    assert "its pixels are in another file" in outcome.failures[CASE]


@pytest.mark.parametrize(("case", "location"), [(CASE, "../../../../etc"), ("../../x", "."), (CASE, "/etc")])
def test_a_line_that_leads_out_of_the_download_is_refused(raw: Path, case: str, location: str) -> None:
    table = next(raw.glob("*Training/*/metadata.csv"))
    table.write_text(f"Subject ID,File Location\n{case},{location}\n")
    with pytest.raises(ValueError, match=r"metadata\.csv: .* leads out of its folder"):
        bring(raw)
    assert not (raw.parent / "out").exists()


def test_a_folder_that_is_no_download(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"source: no metadata\.csv below"):
        bring(tmp_path / "nowhere")


def test_a_series_without_a_mask_is_told(raw: Path) -> None:
    next(raw.glob(f"**/{CASE}.nrrd")).unlink()
    assert bring(raw)[0].warnings == [f"1 cases have a DICOM series and no mask: {CASE}"]


def test_the_real_layout(real_data: Path, tmp_path: Path) -> None:
    outcome = NciIsbiRaw()(Task(real_data / "NCI-ISBI-2013" / "raw", tmp_path / "out"))
    assert "30 slices of 3 cases" in outcome.lines[0] and "train 18 of 789, test 7 of 117" in outcome.lines[0]
    assert outcome.warnings == ["left out ProstateDx-01-0055: 8 DICOM slices, but ProstateDx-01-0055.nrrd has 6"]
    data = NciIsbi(tmp_path / "out")
    assert all(0.001 < data.mask(name).mean() < 0.3 for name in data.ids)
