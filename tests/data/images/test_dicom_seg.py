"""Segmentations in DICOM, read back by the library and by pydicom; compressed slices."""

import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch
from pydicom.uid import JPEGLSLossless

from fovea.data.images.dicom import read_slice
from fovea.data.images.predict import predict
from fovea.data.predict_request import PredictRequest
from fovea.pictures.overlay import color_of

from .test_inputs import SERIES, SLICES, STUDY, rows, run, voxels, write_series, write_slice

__all__ = ["voxels"]  # a fixture
THREE = SLICES | {"classes": 3, "labels": {0: "background", 1: "disc", 2: "cup"}}


def thirds(pixels: np.ndarray) -> dict[str, torch.Tensor]:
    """Predict a class for each third of the brightness."""
    labels = torch.from_numpy(np.minimum(pixels[..., 0] // 85, 2).astype(np.int64))
    return {"prediction": torch.nn.functional.one_hot(labels, 3).movedim(-1, 0)[None].float()}


def test_a_series_and_a_slice_are_segmented(tmp_path: Path, voxels: np.ndarray) -> None:
    hd = pytest.importorskip("highdicom")
    write_series(tmp_path / "in" / "t2", voxels)
    write_slice(tmp_path / "in" / "alone.dcm", voxels[1], SeriesInstanceUID="1.2.3", ImagePositionPatient=[0, 0, 0])
    request = PredictRequest(tmp_path / "in", tmp_path / "out", dicom_seg=True, range=[0, 4095])
    assert predict(THREE, thirds, request) == (2, {})
    path = tmp_path / "out" / "segmentations" / "t2.dcm"
    found = hd.seg.segread(path)
    assert (found.StudyInstanceUID, found.PatientID, found.PatientName) == (STUDY, "p1", "P^1")
    assert found.SeriesInstanceUID != SERIES
    expected = np.minimum((voxels / 4095 * 255).astype(np.uint8) // 85, 2)
    order = sorted((pydicom.dcmread(each) for each in (tmp_path / "in" / "t2").iterdir()), key=slice_position)
    uids = [each.SOPInstanceUID for each in order]
    read = found.get_pixels_by_source_instance(
        source_sop_instance_uids=uids, combine_segments=True, assert_missing_frames_are_empty=True
    )
    np.testing.assert_array_equal(read, expected)
    plain = pydicom.dcmread(path)
    assert [segment.SegmentLabel for segment in plain.SegmentSequence] == ["disc", "cup"]
    assert plain.SegmentSequence[0].SegmentAlgorithmName == "fovea"
    for number, segment in enumerate(plain.SegmentSequence, start=1):
        color = hd.color.CIELabColor.from_dicom_value(segment.RecommendedDisplayCIELabValue)
        np.testing.assert_allclose(color.to_rgb(), color_of(number), atol=2)
    alone = hd.seg.segread(tmp_path / "out" / "segmentations" / "alone.dcm")
    source = pydicom.dcmread(tmp_path / "in" / "alone.dcm").SOPInstanceUID
    read = alone.get_pixels_by_source_instance(
        source_sop_instance_uids=[source], combine_segments=True, assert_missing_frames_are_empty=True
    )
    np.testing.assert_array_equal(read[0], expected[1])
    assert predict(THREE, thirds, request) == (2, {})


def slice_position(header: pydicom.Dataset) -> float:
    return float(header.ImagePositionPatient[2])


@pytest.mark.parametrize(
    ("script", "patient"),
    [(None, "P^1"), ("ISO_IR 100", "Müller^Jürgen"), (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎")],
)
def test_names_of_any_script_are_written(tmp_path: Path, voxels: np.ndarray, script: object, patient: str) -> None:
    pytest.importorskip("highdicom")
    tags = {"SpecificCharacterSet": script} if script else {}
    write_slice(tmp_path / "in" / "a.dcm", voxels[1], PatientName=patient, **tags)
    data = THREE | {"labels": {0: "background", 1: "Läsion", 2: "病変"}}
    request = PredictRequest(tmp_path / "in", tmp_path / "out", dicom_seg=True, range=[0, 4095])
    assert predict(data, thirds, request) == (1, {})
    found = pydicom.dcmread(tmp_path / "out" / "segmentations" / "a.dcm")
    assert [segment.SegmentLabel for segment in found.SegmentSequence] == ["Läsion", "病変"]
    assert (str(found.PatientName), found.SpecificCharacterSet) == (patient, "ISO_IR 192")


def test_what_cannot_be_segmented_gets_one_line(
    tmp_path: Path, voxels: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("highdicom")
    write_slice(tmp_path / "in" / "bad.dcm", voxels[0], StudyInstanceUID=None)
    write_slice(tmp_path / "in" / "empty.dcm", 0 * voxels[0], ImagePositionPatient=[0, 0, 0], PatientName="anonymous")
    with warnings.catch_warnings(action="error"):
        failures = run(tmp_path / "in", tmp_path / "out", SLICES, dicom_seg=True)
    line = f"{tmp_path / 'in' / 'bad.dcm'}: cannot be written as DICOM SEG (no StudyInstanceUID); leave out dicom_seg"
    assert failures == {"bad": line} and caplog.messages == [line]
    assert [row["mask"] for row in rows(tmp_path / "out")] == ["masks/empty.png"]
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "a.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"dicom_seg: .*plain has no DICOM image; leave it out"):
        run(tmp_path / "plain", tmp_path / "none", dicom_seg=True)


def test_without_the_package_its_name_is_said(
    tmp_path: Path, voxels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "highdicom", None)
    write_slice(tmp_path / "in" / "a.dcm", voxels[0])
    with pytest.raises(ValueError, match="needs the package highdicom; install it with `make dicom`"):
        run(tmp_path / "in", tmp_path / "out", SLICES, dicom_seg=True)
    assert not (tmp_path / "out").exists()


def test_a_compressed_slice_is_read_with_its_package(tmp_path: Path, voxels: np.ndarray) -> None:
    pytest.importorskip("jpeg_ls")  # highdicom brings it
    write_slice(tmp_path / "plain.dcm", voxels[1])
    compressed = pydicom.dcmread(tmp_path / "plain.dcm")
    compressed.compress(JPEGLSLossless)
    compressed.save_as(tmp_path / "x.dcm")
    np.testing.assert_array_equal(read_slice(tmp_path / "x.dcm"), read_slice(tmp_path / "plain.dcm"))
