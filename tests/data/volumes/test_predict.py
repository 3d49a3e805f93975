"""Prediction of a folder: invalid volumes get a line each, all others a mask on their voxels."""

import csv
import gzip
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.transforms import NormalizeIntensity, Resize

from fovea.data.predict_request import PredictRequest
from fovea.data.volumes.predict import predict_volumes
from fovea.data.volumes.prepared import Native
from fovea.supervision.largest import largest_if_asked

from .conftest import patch, write

DATA = {"classes": 1, "modalities": ["ct", "t1"]}
VOXELS = np.random.default_rng(0).integers(0, 100, (8, 7, 6)).astype(np.int16)


def brighter(image: Mapping[str, torch.Tensor], size: tuple[int, ...]) -> dict[str, torch.Tensor]:
    """Predict the voxels above the mean of the first modality."""
    return {"prediction": (next(iter(image.values())) > 0).float()}


def predict(source: Path, out: Path, **options: Any) -> tuple[int, dict[str, str]]:
    intensity = {name: NormalizeIntensity() for name in ("ct", "t1")}
    request = PredictRequest(source, out, **options)
    predictor = largest_if_asked(brighter, request.applied_to(DATA))
    return predict_volumes(Native(predictor, False, None, intensity, torch.device("cpu")), request, DATA)


def written(out: Path) -> list[str]:
    return sorted(path.relative_to(out / "masks").as_posix() for path in (out / "masks").rglob("*.nii.gz"))


def test_invalid_volumes_do_not_stop_the_others(tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    for name in ("a_ct", "huge_ct", "vector_ct", "unit_ct", "b_t1"):
        write(source / f"{name}.nii", VOXELS)
    patch(source / "huge_ct.nii", dim=[3, 30000, 30000, 30000, 1, 1, 1, 1])
    patch(source / "vector_ct.nii", intent_code=1007)
    patch(source / "unit_ct.nii", xyzt_units=7)
    write(source / "complex_ct.nii", VOXELS.astype(np.complex64))
    write(source / "color_ct.nii.gz", np.zeros((3, 4, 5), [("R", "u1"), ("G", "u1"), ("B", "u1")]))
    (source / "text_ct.nii.gz").write_text("no volume")
    (source / "cut_ct.nii.gz").write_bytes(gzip.compress((source / "a_ct.nii").read_bytes())[:-99])
    count, failures = predict(source, out)
    assert count == 9 and written(out) == ["a_ct.nii.gz", "b_t1.nii.gz"]
    assert {*failures} == {f"{name}_ct" for name in ("huge", "vector", "unit", "complex", "color", "text", "cut")}
    assert all(str(source) in line and "\n" not in line for line in failures.values())


def test_says_that_a_case_was_predicted_without_a_damaged_modality(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    for name in ("a_ct", "a_t1", "b_t1"):  # b never had one
        write(source / f"{name}.nii", VOXELS)
    (source / "a_ct.nii").write_text("no volume")
    assert {*predict(source, out)[1]} == {"a_ct"} and written(out) == ["a_t1.nii.gz", "b_t1.nii.gz"]
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert said == ["a_t1 was predicted without ct, which cannot be read"]


@pytest.mark.parametrize(
    ("intensity", "message"),
    [
        (NormalizeIntensity(subtrahend=[1, 2], divisor=[1, 2], channel_wise=True), "img has 1 channels"),
        (Resize([2, 2, 2]), "it returns [2, 2, 2] voxels for "),
    ],
)
def test_an_intensity_that_fails_is_named(intensity: Any, message: str, tmp_path: Path) -> None:
    write(tmp_path / "a_ct.nii", VOXELS)
    request = PredictRequest(tmp_path / "a_ct.nii", tmp_path / "out")
    native = Native(brighter, False, None, {"ct": intensity}, torch.device("cpu"))
    [failure] = predict_volumes(native, request, DATA)[1].values()
    name = type(intensity).__name__
    assert failure.startswith(f"{tmp_path / 'a_ct.nii'}: {name} of data.intensity fails: {message}")


def test_values_that_are_no_numbers_give_no_mask(tmp_path: Path) -> None:
    def unsure(image: Mapping[str, torch.Tensor], size: tuple[int, ...]) -> dict[str, torch.Tensor]:
        [values] = image.values()
        return {"prediction": torch.full_like(values, torch.nan if values.numel() == VOXELS.size else 0.9)}

    write(tmp_path / "in" / "a_ct.nii", VOXELS)
    write(tmp_path / "in" / "b_ct.nii", VOXELS[:5])
    native = Native(unsure, False, None, {"ct": NormalizeIntensity()}, torch.device("cpu"))
    request = PredictRequest(tmp_path / "in", tmp_path / "out")
    count, failures = predict_volumes(native, request, DATA | {"modalities": ["ct"]})
    assert count == 2 and written(tmp_path / "out") == ["b_ct.nii.gz"]
    message = "the network returns values that are not numbers; give another checkpoint"
    assert failures == {"a_ct": f"{tmp_path / 'in' / 'a_ct.nii'}: {message}"}


def test_the_largest_component_is_kept_if_asked(tmp_path: Path) -> None:
    voxels = np.zeros((8, 7, 6), np.int16)
    voxels[1:4, 1:4, 1:4], voxels[5:7, 5, 2] = 50, 90
    write(tmp_path / "in" / "a_ct.nii", voxels)

    def mask(out: str, largest: bool | None) -> np.ndarray:
        assert predict(tmp_path / "in", tmp_path / out, largest_component=largest) == (1, {})
        return np.asarray(nib.load(tmp_path / out / "masks" / "a_ct.nii.gz").dataobj)

    np.testing.assert_array_equal(mask("all", None), voxels > 0)
    np.testing.assert_array_equal(mask("one", True), voxels == 50)
    np.testing.assert_array_equal(mask("one", False), voxels > 0)  # the setting is part of what predictions depend on


def test_names_are_read_in_any_case_and_other_files_are_listed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    write(source / "a_ct.nii", VOXELS)
    for name in ("LOUD_CT.NII.GZ", "sub/a_T1.nii.gz"):
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_bytes(gzip.compress((source / "a_ct.nii").read_bytes()))
    for name in ("a_pet.nii.gz", "notes.txt", "slice.dcm", ".hidden_ct.nii"):
        (source / name).write_bytes(b"")
    for _ in range(2):
        with caplog.at_level(logging.WARNING):
            assert predict(source, out) == (3, {})
        assert written(out) == ["LOUD_ct.nii.gz", "a_ct.nii.gz", "sub/a_t1.nii.gz"]
    assert "skipped 3 files" in caplog.text and "a_pet.nii.gz, notes.txt, slice.dcm" in caplog.text
    mask = nib.load(out / "masks" / "LOUD_ct.nii.gz")
    assert np.array_equal(mask.dataobj, VOXELS.mean() < VOXELS)
    assert predict(source / "a_ct.nii", tmp_path / "one") == (1, {}) and written(tmp_path / "one") == ["a_ct.nii.gz"]
    (truth := tmp_path / "other" / "masks" / "a_ct.nii.gz").parent.mkdir(parents=True)
    truth.write_bytes(b"truth")
    with pytest.raises(ValueError, match=r"not written by fovea-predict.*a_ct\.nii\.gz"):
        predict(source, tmp_path / "other")
    assert truth.read_bytes() == b"truth"


def test_figures_and_probabilities_are_on_the_grid(tmp_path: Path) -> None:
    write(tmp_path / "in" / "a_ct.nii", VOXELS, (2.0, 3.0, 4.0))
    assert predict(tmp_path / "in", tmp_path / "out", probabilities=True) == (1, {})
    mask = nib.load(tmp_path / "out" / "masks" / "a_ct.nii.gz")
    found = nib.load(tmp_path / "out" / "probabilities" / "a_ct.nii.gz")
    assert found.get_data_dtype() == np.float32 and np.array_equal(found.affine, mask.affine)
    assert np.array_equal(found.dataobj, mask.dataobj)  # this network is always sure
    with (tmp_path / "out" / "predictions.csv").open(newline="") as file:
        [row] = csv.DictReader(file)
    count = int((VOXELS.mean() < VOXELS).sum())
    assert (row["pixels"], row["mm2"], row["mm3"], row["label"]) == (str(count), "", f"{24 * count:.6g}", "1")
    assert row["mean_probability"] == "1"


def test_an_ending_is_the_longest_modality(tmp_path: Path) -> None:
    write(tmp_path / "in" / "a_post_t1.nii", VOXELS)
    intensity = {name: NormalizeIntensity() for name in ("t1", "post_t1")}
    request = PredictRequest(tmp_path / "in", tmp_path / "out")
    native = Native(brighter, False, None, intensity, torch.device("cpu"))
    predict_volumes(native, request, {**DATA, "modalities": ["t1", "post_t1"]})
    assert written(tmp_path / "out") == ["a_post_t1.nii.gz"]


@pytest.mark.parametrize("option", [{"axis": "axial"}, {"dicom_seg": True}, {"range": [0, 9]}, {"series": False}])
def test_keys_for_models_of_images_are_refused(tmp_path: Path, option: dict[str, Any]) -> None:
    write(tmp_path / "in" / "a_ct.nii", VOXELS)
    with pytest.raises(ValueError, match=rf"{next(iter(option))} is for models of images"):
        predict(tmp_path / "in", tmp_path / "out", **option)


def test_a_folder_without_volumes_or_with_one_twice_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "in" / "a_pet.nii", VOXELS)
    with pytest.raises(ValueError, match=r"no volume with a name like <case>_ct\.nii\.gz or <case>_t1"):
        predict(tmp_path / "in", tmp_path / "out")
    write(tmp_path / "in" / "a_ct.nii", VOXELS)
    write(tmp_path / "in" / "a_ct.nii.gz", VOXELS)
    with pytest.raises(ValueError, match="are the same volume; remove one"):
        predict(tmp_path / "in", tmp_path / "out")
