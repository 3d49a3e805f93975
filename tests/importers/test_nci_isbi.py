"""Import of the NCI-ISBI 2013 download."""

from collections.abc import Sequence
from pathlib import Path

import nrrd
import numpy as np
import pydicom
import pytest

from fovea.data.images.masks import read_mask
from fovea.data.images.nci_isbi import NciIsbi
from fovea.importers.nci_isbi import NciIsbiRaw
from fovea.importers.request import ImportRequest, ImportResult

from ..data.images.test_inputs import write_slice

ROWS, COLUMNS = 12, 10
CASE, OTHER = "Prostate3T-01-0003", "Prostate3T-03-0002"


def write_dicom(path: Path, number: int | None, shape: tuple[int, int] = (ROWS, COLUMNS)) -> None:
    """Write a slice of pixels of 100 times its InstanceNumber, except two."""
    pixels = np.full(shape, 100 * (number or 1), np.uint16)
    pixels[0, :2] = 0, 4000
    write_slice(path, pixels, **({} if number is None else {"InstanceNumber": number}))


def write_case(root: Path, case: str, numbers: Sequence[int | None], depth: int | None = None) -> Path:
    """Write a series and its mask: in slice i + 1 label 2 at (i, 3) and 1 at (i, 4); the last slice has none."""
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
        # The order of names differs from the order of slices.
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


def run(raw: Path) -> tuple[ImportResult, Path]:
    return NciIsbiRaw()(ImportRequest(raw, raw.parent / "out")), raw.parent / "out"


def test_slices_with_prostate_are_matched_by_instance_number(raw: Path) -> None:
    _, out = run(raw)
    for number in (1, 2, 3, 4):
        path = out / "images" / f"{CASE}_{number}.dcm"
        assert pydicom.dcmread(path).InstanceNumber == number
        mask = read_mask(out / "masks" / f"{CASE}_{number}.png")
        assert np.argwhere(mask).tolist() == [[number - 1, 3], [number - 1, 4]]
    expected = {*(f"{CASE}_{number}" for number in (1, 2, 3, 4)), f"{OTHER}_1", f"{OTHER}_2"}
    for folder in ("images", "masks"):
        assert {path.stem for path in (out / folder).iterdir()} == expected


def test_lists_are_limited_to_the_slices(tmp_path: Path) -> None:
    write_case(tmp_path / "raw", CASE, range(1, 21))
    write_case(tmp_path / "raw", OTHER, range(1, 21))
    result, out = run(tmp_path / "raw")
    train, test = ((out / f"{split}.txt").read_text().split() for split in ("train", "test"))
    assert {name.rpartition("_")[0] for name in train} == {CASE}
    assert {name.rpartition("_")[0] for name in test} == {OTHER}
    assert f"train {len(train)} of 789, test {len(test)} of 117" in result.lines[0]
    assert 10 < len(train) < 20 and 10 < len(test) < 20
    NciIsbi(out).check(train + test, masks=True)


def test_a_command_refuses_what_an_interrupted_import_left(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(path: Path, pixels: np.ndarray) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("fovea.importers.nci_isbi.write_image", interrupt)
        run(raw)
    left = NciIsbi(raw.parent / "out")
    with pytest.raises(ValueError, match=r"images are missing from .*; add them or shorten the split lists"):
        left.check(left.splits()["train"], masks=False)
    _, out = run(raw)
    assert NciIsbi(out).splits()["train"]


def test_warns_of_slices_without_mask(raw: Path) -> None:
    write_case(raw, "ProstateDx-01-0055", [1, 2, 3, 4], depth=3)
    result, out = run(raw)
    fewer = "left out ProstateDx-01-0055: 4 DICOM slices, but ProstateDx-01-0055.nrrd has 3"
    assert result.warnings == [fewer]
    assert not result.failures and not list(out.glob("*/ProstateDx*"))
    next(raw.glob(f"**/{CASE}.nrrd")).unlink()
    assert {*run(raw)[0].warnings} == {fewer, f"1 cases have a DICOM series and no mask: {CASE}"}


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ([1, None, 3], r"1-02\.dcm: no InstanceNumber"),
        ([1, 2, 2], r"1-02\.dcm and 1-01\.dcm both have InstanceNumber 2; remove one"),
        ([2, 3, 4], "no slice has InstanceNumber 1"),
    ],
)
def test_bad_series_is_a_failure(raw: Path, numbers: list[int | None], message: str) -> None:
    write_case(raw, "ProstateDx-01-0001", numbers)
    result, out = run(raw)
    assert list(result.failures) == ["ProstateDx-01-0001"]
    with pytest.raises(ValueError, match=message):
        raise ValueError(result.failures["ProstateDx-01-0001"])
    assert len(list((out / "images").iterdir())) == 6 and not list(out.glob("*/ProstateDx*"))


@pytest.mark.parametrize(
    ("space", "signs", "origin", "across", "expected"),
    [
        ("left-posterior-superior", (1, 1), (10, 20, 0), 3, ""),
        ("right-anterior-superior", (-1, -1), (-10, -20, 0), 3, ""),
        (
            "left-posterior-superior",
            (1, 1),
            (10, 20, 12),
            -3,
            "its axes have other directions than those of its volume",
        ),
        ("left-posterior-superior", (1, 1), (10, 26, 0), 3, "its voxels are up to 12 voxels away from those of its v"),
        ("left-posterior-superior", (1, 1), (10, 20, 0), 4, "voxels of 0.25 x 0.5 x 4 mm, but those of its volume ha"),
        ("right-anterior-superior", (1, 1), (10, 20, 0), 3, "its axes have other directions than those of its volume"),
        ("scanner-xyz", (1, 1), (0, 0, 0), 3, ""),
    ],
)
def test_warns_of_a_mask_in_another_place_than_its_series(
    tmp_path: Path, space: str, signs: tuple[int, int], origin: tuple[int, int, int], across: int, expected: str
) -> None:
    series = write_case(tmp_path / "raw", CASE, [4, 1, 3, 2, 5])
    for path in series.iterdir():
        header = pydicom.dcmread(path)
        header.ImagePositionPatient = [10, 20, 3 * (header.InstanceNumber - 1)]
        header.save_as(path)
    [mask] = tmp_path.glob(f"**/{CASE}.nrrd")
    directions = np.diag([0.25 * signs[0], 0.5 * signs[1], across])
    place = {"space": space, "space directions": directions, "space origin": np.array(origin)}
    nrrd.write(str(mask), nrrd.read(str(mask))[0], place)
    warnings = run(tmp_path / "raw")[0].warnings
    assert len(warnings) == bool(expected)
    if expected:
        start = "1 masks have another place than their series; they are paired by InstanceNumber, look whether they fit"
        assert warnings[0].startswith(f"{start}: {CASE}: {expected}")


@pytest.mark.parametrize(("case", "location"), [(CASE, "../../../../etc"), ("../../x", "."), (CASE, "/etc")])
def test_refuses_paths_outside_the_download(raw: Path, case: str, location: str) -> None:
    table = next(raw.glob("*Training/*/metadata.csv"))
    table.write_text(f"Subject ID,File Location\n{case},{location}\n")
    with pytest.raises(ValueError, match=r"metadata\.csv: .* is outside of its folder"):
        run(raw)
    assert not (raw.parent / "out").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an NRRD file, or damaged"),
        (b"hello", "not an NRRD file, or damaged"),
        (b"NRRD0005\ntype: uint8\ndimension: 3\nsizes: 9 9 9\nencoding: gzip\n\nx", "not an NRRD file, or damaged"),
        (
            b"NRRD0004\ntype: uint8\ndimension: 3\nsizes: 10 12 5\nencoding: raw\ndata file: ../../../secret\n",
            "its pixels are in another file",
        ),
        (None, " is 10 x 12 pixels, but 1-01.dcm is 10 x 14; replace one"),
    ],
)
def test_damaged_mask_or_one_of_another_size_is_a_failure(raw: Path, content: bytes | None, message: str) -> None:
    if content is None:
        write_dicom(next(raw.glob(f"**/{CASE}/**/1-01.dcm")), 5, (ROWS + 2, COLUMNS))
    else:
        next(raw.glob(f"**/{CASE}.nrrd")).write_bytes(content)
    failure = run(raw)[0].failures[CASE]
    assert f"{CASE}.nrrd" in failure and message in failure


def test_never_writes_into_a_foreign_folder(raw: Path, tmp_path: Path) -> None:
    run(raw)
    run(raw)
    (raw.parent / "out" / ".fovea-import").unlink()
    with pytest.raises(ValueError, match=r"out: .*out has images, which fovea-import did not write"):
        run(raw)
    with pytest.raises(ValueError, match=r"source: no metadata\.csv below"):
        run(tmp_path / "nowhere")


def test_real_download(real_data: Path, tmp_path: Path) -> None:
    result = NciIsbiRaw()(ImportRequest(real_data / "NCI-ISBI-2013" / "raw", tmp_path / "out"))
    assert "30 slices of 3 cases" in result.lines[0] and "train 18 of 789, test 7 of 117" in result.lines[0]
    assert result.warnings == ["left out ProstateDx-01-0055: 8 DICOM slices, but ProstateDx-01-0055.nrrd has 6"]
    data = NciIsbi(tmp_path / "out")
    assert all(0.001 < data.mask(name).mean() < 0.3 for name in data.ids)
