"""DICOM series, TIFF of several pages and NIfTI slice by slice: masks lie on the pixels that they are of."""

import csv
import re
from itertools import permutations, product
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from fovea.data.images.find import decoder
from fovea.data.images.predict import predict
from fovea.data.predict_request import PredictRequest
from fovea.data.volumes import nifti

DATA = {"dataset": {"_target_": "fovea.data.images.folder.Folder"}, "channels": 3, "classes": 1}
SLICES = {**DATA, "dataset": {"_target_": "fovea.data.images.nci_isbi.NciIsbi"}, "channels": 1}
SERIES, FRAME, STUDY = (generate_uid() for _ in range(3))


def brightness(pixels: np.ndarray) -> dict[str, torch.Tensor]:
    """Take the brightness of a pixel as its probability."""
    return {"prediction": torch.from_numpy(pixels[..., 0].astype(np.float32) / 255)[None, None]}


def run(source: Path, out: Path, data: dict[str, Any] = DATA, **options: Any) -> dict[str, str]:
    return predict(data, brightness, PredictRequest(source, out, **options))[1]


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "predictions.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def write_slice(path: Path, pixels: np.ndarray, **tags: Any) -> None:
    """Write a DICOM slice of 0.5 x 0.25 mm pixels; a tag of None is left out."""
    header = Dataset()
    header.SOPClassUID, header.SOPInstanceUID = MRImageStorage, generate_uid()
    header.StudyInstanceUID, header.SeriesInstanceUID, header.FrameOfReferenceUID = STUDY, SERIES, FRAME
    header.PatientID, header.PatientName, header.Modality = "p1", "P^1", "MR"
    header.Rows, header.Columns = pixels.shape
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelRepresentation = 16, 12, 11, 0
    header.PixelSpacing, header.SliceThickness = [0.5, 0.25], 3
    header.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    header.PixelData = pixels.astype(np.uint16).tobytes()
    for tag, value in tags.items():
        setattr(header, tag, value) if value is not None else delattr(header, tag)
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    path.parent.mkdir(parents=True, exist_ok=True)
    header.save_as(path, enforce_file_format=True)


def write_series(folder: Path, voxels: np.ndarray, **tags: Any) -> None:
    """Write slices [D, H, W] 3 mm apart, in an order of names that is not that of the positions."""
    for number, pixels in enumerate(voxels):
        write_slice(folder / f"{-number % len(voxels)}.dcm", pixels, ImagePositionPatient=[10, 20, 3 * number], **tags)


@pytest.fixture
def voxels() -> np.ndarray:
    """Values [5, 6, 8] of 12 bits: in each slice dark and bright, with a part that is bright in the whole stack."""
    found = np.random.default_rng(0).integers(0, 400, (5, 6, 8))
    found[1:4, 2:5, 3:6] += 3000
    return found


def test_a_series_is_one_volume_on_its_grid(tmp_path: Path, voxels: np.ndarray) -> None:
    write_series(tmp_path / "in" / "p1" / "t2", voxels)
    assert run(tmp_path / "in", tmp_path / "out", range=[0, 4095], probabilities=True) == {}
    mask = nib.load(tmp_path / "out" / "masks" / "p1" / "t2.nii.gz")
    np.testing.assert_array_equal(np.asarray(mask.dataobj), (voxels > 2060).transpose(2, 1, 0))
    # The middle of a pixel of column 3, row 2, slice 1, in RAS.
    np.testing.assert_allclose(mask.affine @ [3, 2, 1, 1], [-(10 + 3 * 0.25), -(20 + 2 * 0.5), 3, 1])
    found = nib.load(tmp_path / "out" / "probabilities" / "p1" / "t2.nii.gz")
    np.testing.assert_allclose(found.get_fdata(), (voxels / 4095).transpose(2, 1, 0), atol=1 / 255)
    [row] = rows(tmp_path / "out")
    assert (row["mask"], row["pixels"], row["mm3"]) == ("masks/p1/t2.nii.gz", "27", f"{27 * 0.5 * 0.25 * 3:g}")
    assert np.asarray(Image.open(tmp_path / "out" / "overlays" / "p1" / "t2.png")).shape == (6, 8, 3)
    assert run(tmp_path / "in", tmp_path / "each", SLICES, series=False) == {}
    assert [row["mask"] for row in rows(tmp_path / "each")] == [f"masks/p1/t2/{number}.png" for number in range(5)]
    assert float(rows(tmp_path / "each")[1]["mm2"]) == int(rows(tmp_path / "each")[1]["pixels"]) / 8


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({"ImagePositionPatient": [10, 20, 6]}, r"3\.dcm and x\.dcm of one series are at one position"),
        ({"ImagePositionPatient": [10, 20, 21]}, r"3 mm apart, but 1\.dcm and x\.dcm 9 mm; add the missing ones"),
        (
            {"ImagePositionPatient": [10, 20, 13]},
            r"up to 1\.6 mm \(1\.dcm\) away from even spacing on a line; set series=false",
        ),
        ({"ImagePositionPatient": [40, 20, 15]}, r"up to 24 mm \(1\.dcm\) away from even spacing"),
        ({"ImageOrientationPatient": [0, 1, 0, 0, 0, 1]}, "differ in orientation or pixel spacing"),
        ({"Rows": 3, "Columns": 16}, r"slices of mixed sizes \(16 x 3, 8 x 6\); put each"),
    ],
)
def test_invalid_series_get_one_line_each(
    tmp_path: Path, voxels: np.ndarray, tags: dict[str, Any], message: str
) -> None:
    for name in ("bad", "good"):
        write_series(tmp_path / "in" / name, voxels)
    write_slice(tmp_path / "in" / "bad" / "x.dcm", voxels[0], **{"ImagePositionPatient": [10, 20, 15], **tags})
    failures = run(tmp_path / "in", tmp_path / "out", range=[0, 4095])
    assert [*failures] == ["bad"] and failures["bad"].startswith(f"{tmp_path / 'in' / 'bad'}: ")
    assert re.search(message, failures["bad"])
    assert [row["mask"] for row in rows(tmp_path / "out")] == ["masks/good.nii.gz"]


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_each_series_has_its_own_name_below_the_output(tmp_path: Path, voxels: np.ndarray) -> None:
    write_series(tmp_path / "in", voxels)
    write_series(tmp_path / "in" / "in", voxels)  # the folder of the input has this name too
    write_series(tmp_path / "in" / "two", voxels, SeriesInstanceUID="../../../../1.2")
    for number in (0, 1):
        position = [0, 0, 3 * number]
        write_slice(tmp_path / "in" / "two" / f"x{number}.dcm", voxels[number], ImagePositionPatient=position)
    assert run(tmp_path / "in", tmp_path / "a" / "b" / "out", SLICES) == {}
    names = ["in.nii.gz", f"in/{SERIES}.nii.gz", "two/.._.._.._.._1.2.nii.gz", f"two/{SERIES}.nii.gz"]
    assert [row["mask"] for row in rows(tmp_path / "a" / "b" / "out")] == [f"masks/{name}" for name in names]
    assert sorted(path.name for path in (tmp_path / "a").rglob("*.nii.gz")) == sorted(Path(name).name for name in names)


@pytest.mark.parametrize("data", [DATA, SLICES])
def test_python_reads_the_files_that_the_command_reads(tmp_path: Path, voxels: np.ndarray, data: dict) -> None:
    write_slice(tmp_path / "IM1", voxels[1])
    (tmp_path / "x.dcm").write_bytes((tmp_path / "IM1").read_bytes())
    gray = np.rint(voxels[1] / 4095 * 255).astype(np.uint8)
    Image.fromarray(gray).save(tmp_path / "x.png")
    for name in ("IM1", "x.dcm", "x.png"):
        np.testing.assert_array_equal(
            decoder(data | {"range": [0, 4095]})(tmp_path / name), np.dstack([gray] * data["channels"])
        )


def test_what_is_dicom_is_told_by_the_file(
    tmp_path: Path, voxels: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    write_series(tmp_path / "in", voxels)
    write_slice(tmp_path / "in" / "alone" / "IM1", voxels[1], ImagePositionPatient=[0, 0, 0])
    write_slice(tmp_path / "in" / "IM2", voxels[2], SeriesInstanceUID="1.2.3", PixelSpacing=None)
    write_slice(tmp_path / "in" / "seg.dcm", voxels[2], SOPClassUID="1.2.840.10008.5.1.4.1.1.66.4")
    report = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.11", "Rows": None, "Columns": None, "PixelData": None}
    write_slice(tmp_path / "in" / "report.dcm", voxels[2], **report)
    (tmp_path / "in" / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    (tmp_path / "in" / "cut.dcm").write_bytes(b"DICM")
    assert [*run(tmp_path / "in", tmp_path / "out", SLICES)] == ["cut"]
    assert [(row["mask"], row["mm2"] == "", row["mm3"] == "") for row in rows(tmp_path / "out")] == [
        ("masks/IM2.png", True, True),
        ("masks/alone/IM1.png", False, True),
        ("masks/in.nii.gz", True, False),
    ]
    assert "skipped 3 files" in caplog.text and "DICOMDIR, report.dcm, seg.dcm" in caplog.text
    failures = run(tmp_path / "in" / "alone", tmp_path / "pictures")  # the model knows no scale of 12 bits
    assert "more than 8 bits; set range=[low,high]" in failures["IM1"]


@pytest.mark.parametrize("axis", ["sagittal", "coronal", "axial", None])
def test_a_volume_is_read_slice_by_slice_in_radiological_view(tmp_path: Path, axis: str | None) -> None:
    ras = np.random.default_rng(0).integers(0, 256, (4, 5, 6)).astype(np.uint8)
    seen: list[np.ndarray] = []

    def network(pixels: np.ndarray) -> dict[str, torch.Tensor]:
        seen.append(pixels[..., 0])
        return brightness(pixels)

    for number, (axes, signs) in enumerate(product(permutations(range(3)), product((1, -1), repeat=3))):
        stored = ras.transpose(axes)[tuple(slice(None, None, sign) for sign in signs)]
        affine = np.diag([0.0, 0.0, 0.0, 1.0])
        for column, (direction, sign) in enumerate(zip(axes, signs, strict=True)):
            affine[direction, column] = sign * (1.0, 2.0, 1.5)[direction]
        (tmp_path / str(number)).mkdir()
        nib.save(nib.Nifti1Image(stored, affine), tmp_path / str(number) / "a.nii.gz")
        seen.clear()
        request = PredictRequest(tmp_path / str(number), tmp_path / f"out{number}", axis=axis)  # type: ignore[arg-type]
        assert predict(DATA, network, request) == (1, {})
        # Rows run to the back or to the feet, columns to the left or, from the side, to the back.
        views = {
            "axial": [ras[::-1, ::-1, z].T for z in range(6)],
            "coronal": [ras[::-1, y, ::-1].T for y in range(5)],
            "sagittal": [ras[x, ::-1, ::-1].T for x in range(4)],
        }
        for found, expected in zip(seen, views[axis or "coronal"], strict=True):
            np.testing.assert_array_equal(found, expected)
        mask = nib.load(tmp_path / f"out{number}" / "masks" / "a.nii.gz")
        np.testing.assert_array_equal(mask.affine, affine)
        np.testing.assert_array_equal(np.asarray(mask.dataobj), stored > 127)
        assert rows(tmp_path / f"out{number}")[0]["mm3"] == f"{3 * (ras > 127).sum():g}"


def test_a_volume_of_equal_sides_or_of_more_bits_needs_a_key(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    nifti._said.clear()
    (tmp_path / "in").mkdir()
    values = np.arange(60).reshape(3, 4, 5)
    nib.save(nib.Nifti1Image(values.astype(np.uint8), np.eye(4)), tmp_path / "in" / "cube.nii")
    nib.save(nib.Nifti1Image(values.astype(np.int16), np.diag([1, 1, 2, 1])), tmp_path / "in" / "deep.nii.gz")
    parts = nib.Nifti1Image(values / 59, np.diag([1, 1, 2, 1]))  # of 8 bits, scaled to [0, 1]
    parts.set_data_dtype(np.uint8)
    nib.save(parts, tmp_path / "in" / "parts.nii")
    failures = run(tmp_path / "in", tmp_path / "out")
    assert "set axis to axial, coronal or sagittal" in failures["cube"]
    assert "more than 8 bits; set range=[low,high]" in failures["deep"]
    assert "values with fractions; set range=[low,high]" in failures["parts"]
    assert run(tmp_path / "in", tmp_path / "out", axis="axial", range=[0, 59]) == {}
    mask = nib.load(tmp_path / "out" / "masks" / "deep.nii.gz")
    np.testing.assert_array_equal(np.asarray(mask.dataobj), np.rint(values * 255 / 59) > 127)
    assert "range: 0 and 59 of more than 8 bits become 0 and 255" in caplog.text
    assert run(tmp_path / "in" / "deep.nii.gz", tmp_path / "stretched", SLICES) == {}  # each slice on its own
    assert "across the longest voxels: axial; set axis to choose" in caplog.text


def test_a_range_has_the_same_gray_values_in_each_format(tmp_path: Path) -> None:
    values = np.arange(4096).reshape(64, 64)
    Image.fromarray(values.astype(np.uint16)).save(tmp_path / "a.png")
    write_slice(tmp_path / "a.dcm", values)
    ras = values.T[::-1, ::-1, None].astype(np.int16)  # that becomes `values` in radiological view
    nib.save(nib.Nifti1Image(ras, np.diag([1, 1, 3, 1])), tmp_path / "a.nii")
    found: list[np.ndarray] = []
    for name in ("a.png", "a.dcm", "a.nii"):
        options = {"range": [0, 4095], "axis": "axial"}
        request = PredictRequest(tmp_path / name, tmp_path / f"of_{name}", **options)
        assert predict(DATA, lambda pixels: found.append(pixels[..., 0]) or brightness(pixels), request)[1] == {}
    for gray in found:
        np.testing.assert_array_equal(gray, np.rint(values / 4095 * 255))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_each_page_of_a_tiff_has_its_mask(tmp_path: Path, voxels: np.ndarray, dtype: type) -> None:
    (tmp_path / "in").mkdir()
    stored = (voxels // 16 if dtype is np.uint8 else voxels).astype(dtype)
    pages = [Image.fromarray(page) for page in stored]
    pages[0].save(tmp_path / "in" / "a.tif", save_all=True, append_images=pages[1:])
    pages[0].save(tmp_path / "in" / "mixed.tif", save_all=True, append_images=[pages[1].resize((3, 3))])
    failures = run(tmp_path / "in", tmp_path / "out", range=[0, 4095], probabilities=True)
    assert [*failures] == ["mixed"] and "pages of mixed sizes (8 x 6, 3 x 3)" in failures["mixed"]
    for folder, expected in (("masks", np.where(voxels > 2060, 255, 0)), ("probabilities", None)):
        with Image.open(tmp_path / "out" / folder / "a.tif") as file:
            assert file.n_frames == 5  # type: ignore[attr-defined]
            for number in range(5):
                file.seek(number)
                page = np.asarray(file)
                if expected is None:
                    np.testing.assert_allclose(page / 65535, voxels[number] / 4095, atol=1 / 250)
                else:
                    np.testing.assert_array_equal(page, expected[number])
    assert rows(tmp_path / "out")[0]["pixels"] == "27"
