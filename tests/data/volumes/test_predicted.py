"""Labels that a network predicted, in place of masks: which voxels have them, and what is refused."""

import csv
import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.transforms import NormalizeIntensity

from fovea.data.cache import fingerprint
from fovea.data.predict_request import PredictRequest
from fovea.data.volumes.predict import predict_volumes
from fovea.data.volumes.prepared import Native
from fovea.data.volumes.source import Volumes
from fovea.runtime.files import write_csv

from .conftest import SHAPES, SIDES, batch_of, volumes, write

CONFIDENCE = 0.7


def shades(image: Mapping[str, torch.Tensor], size: tuple[int, ...]) -> dict[str, torch.Tensor]:
    """Predict three classes by the brightness of a voxel of the first modality."""
    first = next(iter(image.values()))
    return {
        "prediction": torch.cat([2 - 2 * first, 0.5 - 2 * (first - 1.6).abs(), 2 * first - 5], dim=1).softmax(dim=1)
    }


def learned(root: Path, **options: Any) -> Volumes:
    made = volumes(root, **options)
    target = {"_target_": "fovea.data.predicted.Predicted", "path": str(root / "out"), "confidence": CONFIDENCE}
    made.size, made.predicted = [*SHAPES["ct"]], target
    return made


@pytest.fixture(scope="module")
def predictions(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Predictions of all cases. Read-only."""
    out = tmp_path_factory.mktemp("predictions")
    intensity = {name: NormalizeIntensity() for name in SHAPES}
    native = Native(shades, False, None, intensity, torch.device("cpu"))
    data = {"classes": 3, "modalities": [*SHAPES], "labels": {0: "background", 1: "ring", 2: "ball"}}
    count, failures = predict_volumes(native, PredictRequest(drawn / "images", out, probabilities=True), data)
    assert (count, failures) == (14, {})
    return out


@pytest.fixture
def predicted(root: Path, predictions: Path) -> Path:
    """The folder of the list, with predictions of all cases in `out`."""
    shutil.copytree(predictions, root / "out")
    return root


def expected(root: Path, image: str) -> np.ndarray:
    """Compute the labels of a prediction from its files: the class of the highest probability, -1 below the limit."""
    files = [root / "out" / "probabilities" / folder / f"{image}.nii.gz" for folder in ("1_ring", "2_ball")]
    ring, ball = (np.asarray(nib.load(file).dataobj) for file in files)
    every = [1 - ring - ball, ring, ball]
    labels = np.full(ring.shape, -1)
    for label, probability in enumerate(every):
        labels[(probability >= CONFIDENCE) & (probability == np.max(every, axis=0))] = label
    return labels


def mask_of(root: Path, image: str) -> np.ndarray:
    return np.asarray(nib.load(root / "masks" / f"{image}.nii.gz").dataobj)


def test_cases_without_labels_have_the_confident_ones(predicted: Path) -> None:
    training = learned(predicted).train(["mask"])
    assert "3 labeled, 2 predicted and 0 unlabeled cases" in training.description
    assert training.labels == {"volume_mask": 6}, "predicted labels cost nobody anything"
    assert [image[:3] for image in training.ids[::2]] == ["aaa", "bbb", "ccc", "ddd", "eee"]
    [stream] = training.streams().values()
    for index, case in enumerate(("aaa", "bbb", "ccc", "ddd", "eee")):
        found = batch_of(stream, index)["mask"]["ct"][0].numpy()
        wanted = mask_of(predicted, f"{case}_ct") if index < 3 else expected(predicted, f"{case}_ct")
        np.testing.assert_array_equal(found, wanted)
    assert {*np.unique(found)} == {-1, 0, 1, 2}
    assert {*learned(predicted).train(["mask", "unlabeled"]).streams()} == {"labeled", "unlabeled"}


@pytest.mark.parametrize("options", [{"labeled_slices": 2, "slices": True}, {"ignore_label": 9}])
def test_voxels_without_labels_have_the_confident_ones(predicted: Path, options: dict[str, Any]) -> None:
    for case in ("aaa", "bbb", "ccc", "fff", "ggg") if "ignore_label" in options else ():
        mask = mask_of(predicted, f"{case}_ct").copy()
        mask[:, :9] = 9
        write(predicted / "masks" / f"{case}_ct.nii.gz", mask, SIDES["ct"])
    made = learned(predicted, **options)
    training = made.train(["mask"])
    [stream] = training.streams().values()
    found = stream.prepared.read(stream.prepared.kinds[2], 0)
    own, guess = mask_of(predicted, "aaa_ct"), expected(predicted, "aaa_ct")
    labeled = own != 9
    if made.labeled_slices:
        filled = np.flatnonzero(own.any(axis=(0, 1)))
        labeled = np.isin(np.arange(own.shape[2]), filled[[len(filled) // 4, 3 * len(filled) // 4]])
    np.testing.assert_array_equal(found, np.where(labeled, own, guess))
    made.predicted = {**(made.predicted or {}), "confidence": 0.5}
    [other] = made.train(["mask"]).streams().values()
    key = stream.prepared.kinds[2]
    assert fingerprint(stream.prepared, key) != fingerprint(other.prepared, key)
    assert (found == -1).any() and (found >= 0).sum() > np.broadcast_to(labeled, own.shape).sum()


def change(root: Path, what: str) -> None:
    table = root / "out" / "predictions.csv"
    file = root / "out" / "probabilities" / "2_ball" / "ddd_mri.nii.gz"
    if what == "no map":
        file.unlink()
    elif what == "another grid":
        write(file, np.zeros((4, 4, 4), np.float32))
    elif what == "outside":
        table.write_text(table.read_text().replace("masks/ddd_mri", "masks/../../ddd_mri"))
    elif what == "no prediction":
        table.write_text("".join(line for line in table.open() if "ddd_mri" not in line))
    elif what == "another file":
        other = root / "other" / "ddd_mri.nii.gz"
        other.parent.mkdir()
        shutil.copy(root / "images" / "eee_mri.nii.gz", other)
        with table.open(newline="") as file:
            rows = [*csv.DictReader(file)]
        for row in rows:
            row["input"] = str(other) if "ddd_mri" in row["mask"] else row["input"]
        write_csv(table, [*rows[0]], [[*row.values()] for row in rows])
    elif what == "other classes":
        table.write_text(table.read_text().replace("ball", "lump"))
        (root / "out" / "probabilities" / "2_ball").rename(root / "out" / "probabilities" / "2_lump")
    elif what == "no folder":
        shutil.rmtree(root / "out")
    else:
        (root / "out" / "networks.json").write_text(json.dumps({"one": ["aaa_ct"], "two": ["bbb_ct", what]}))


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("no map", r"ddd_mri\.nii\.gz: no such file; run fovea-predict again, with probabilities=true"),
        ("another grid", r"2_ball/ddd_mri\.nii\.gz: .*; run fovea-predict again"),
        ("outside", r"predictions\.csv: line \d+: masks/\.\./\.\./ddd_mri\.nii\.gz is not below masks/"),
        ("no prediction", r"predictions\.csv: no prediction of .*ddd_mri\.nii\.gz; run .* with series=false for DICOM"),
        (
            "other classes",
            r"predictions\.csv: predictions of ring, lump, but the classes of this run are ring, ball; pred",
        ),
        (
            "another file",
            r"the prediction of ddd_mri\.nii\.gz is of .*other/ddd_mri\.nii\.gz, another file than .*images/ddd",
        ),
        ("fff_ct", r"data\.predicted: .* patients of 2 of 2 val images \(fff_ct, fff_mri\); .* of the same splits"),
        ("ggg_mri", r"data\.predicted: .* patients of 2 of 2 test images"),
        ("no folder", r"data\.predicted\.path: .*out has no predictions\.csv"),
    ],
)
def test_refused(predicted: Path, what: str, message: str, caplog: pytest.LogCaptureFixture) -> None:
    change(predicted, what)
    with caplog.at_level(logging.ERROR), pytest.raises(ValueError, match=message):
        learned(predicted).train(["mask"])


def test_refused_where_it_serves_nothing(predicted: Path) -> None:
    with pytest.raises(ValueError, match=r"data\.predicted needs a supervision that trains on masks"):
        learned(predicted, modalities=["mri"]).train(["pseudo"])
    made = learned(predicted)
    (predicted / "dataset.json").write_text(
        (predicted / "dataset.json").read_text().replace("unlabeled_training", "other")
    )
    with pytest.raises(ValueError, match=r"data\.predicted: nothing lacks labels"):
        made.train(["mask"])
