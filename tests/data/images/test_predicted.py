"""Labels that a network predicted for images, in place of masks."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from fovea.data.cache import fingerprint
from fovea.data.images import predict as images
from fovea.data.images.source import Images
from fovea.data.predict_request import PredictRequest

from .test_predict import DATA, Brightness, Three
from .test_source import source

SIZE = (20, 24)
CONFIDENCE = {1: 0.7, 3: 0.4}  # by the number of classes


def learned(root: Path, classes: int, **options: Any) -> Images:
    target = {
        "_target_": "fovea.data.predicted.Predicted",
        "path": str(root / "out"),
        "confidence": CONFIDENCE[classes],
    }
    return source(root, classes=classes, size=20, predicted=target, **{"labeled_fraction": 0.4} | options)


@pytest.fixture(params=[1, 3], ids=["one_class", "three_classes"])
def classes(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def root(tmp_path: Path, classes: int) -> Path:
    """Eight images with masks whose left half nobody labeled (255), and predictions of all."""
    rng = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for number in range(8):
        colors = rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)
        mask = rng.integers(0, max(classes, 2), SIZE, dtype=np.uint8)
        mask[:, :12] = 255
        Image.fromarray(colors).save(tmp_path / "images" / f"i{number}.png")
        Image.fromarray(mask).save(tmp_path / "masks" / f"i{number}.png")
    network: nn.Module = Brightness() if classes == 1 else Three()
    data = DATA | {"classes": classes}
    request = PredictRequest(tmp_path / "images", tmp_path / "out", probabilities=True)
    assert images.predict(data, images.FromPixels(data, network, torch.device("cpu")), request) == (8, {})
    return tmp_path


@pytest.mark.parametrize("classes", [1], indirect=True)
def test_a_network_that_was_trained_on_val_or_test_is_refused(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    made, rows = learned(root, 1, ignore_label=255), [f"i{number},p{number % 4}" for number in range(8)]
    (root / "patients.csv").write_text("\n".join(["IMAGE,patient", *rows]))
    made.train({"mask"})
    assert "does not say which images trained its network" in caplog.text
    splits = made._dataset().splits()
    networks = root / "out" / "networks.json"
    for split in ("val", "test"):
        networks.write_text(json.dumps({"one": splits["train"], "two": splits[split][:1]}))
        with pytest.raises(
            ValueError,
            match=rf"data\.predicted: .*out .* patients of 2 of 2 {split} images \(i\d, i\d\); .* same splits",
        ):
            made.train({"mask"})
    caplog.clear()
    networks.write_text(json.dumps({"one": splits["train"]}))
    assert sorted(made.train({"mask"}).ids) == splits["train"] and not caplog.text
    networks.write_text(json.dumps({"one": ["elsewhere", splits["val"][0]]}))
    made.predicted = {**(made.predicted or {}), "allow_training_images": True}
    training = made.train({"mask"})
    assert {*training.ids} == {*splits["train"], "elsewhere", splits["val"][0]}, "a student of the student is told, too"
    assert "its network was trained on 2 other images: elsewhere, i" in caplog.text


def expected(root: Path, name: str, classes: int) -> np.ndarray:
    """Compute the labels of a prediction from its files."""
    folders = ["."] if classes == 1 else ["1_class_1", "2_class_2"]
    files = [root / "out" / "probabilities" / folder / f"{name}.png" for folder in folders]
    maps = [np.asarray(Image.open(file)).astype(np.float32) / np.float32(65535) for file in files]
    every = np.stack([1 - sum(maps), *maps])
    return np.where(every.max(axis=0) >= CONFIDENCE[classes], every.argmax(axis=0), -1)


def test_images_and_pixels_without_labels_have_the_confident_ones(root: Path, classes: int) -> None:
    training = learned(root, classes, ignore_label=255).train({"mask"})
    labeled = training.labels["partial_masks"]
    assert len(training.ids) > labeled and f"predicted for {len(training.ids) - labeled};" in training.description
    [stream] = training.streams().values()
    [mask] = stream.targets
    for number, name in enumerate(training.ids):
        wanted = expected(root, name, classes)
        if number < labeled:
            own = np.asarray(Image.open(root / "masks" / f"{name}.png")).astype(int)
            wanted = np.where(own == 255, wanted, own)
        found = mask.read(name)
        np.testing.assert_array_equal(found, wanted)
        assert {*np.unique(found)} >= {-1, 0, 1} and found.dtype == np.int16
        assert root / "images" / f"{name}.png" in mask.files(name) and len(mask.files(name)) >= 2
    other = learned(root, classes, ignore_label=255)
    other.predicted = {**(other.predicted or {}), "confidence": 0.5}
    assert fingerprint(stream.arrays, "mask") != fingerprint(other.train({"mask"}).streams()["labeled"].arrays, "mask")
    batch = stream[0, len(training.ids) - 1]["mask"]
    assert batch.shape == (20, 20) and batch.dtype == np.int16 and (batch == -1).any()


def test_an_invalid_prediction_is_refused_and_an_unused_one(root: Path, classes: int) -> None:
    whole = root / "masks"
    for path in whole.iterdir():
        Image.fromarray(np.asarray(Image.open(path)) % 2).save(path)
    training = learned(root, classes).train({"mask"})
    assert training.labels == {"masks": 2}
    with pytest.raises(ValueError, match=r"data\.predicted: nothing lacks labels"):
        learned(root, classes, labeled_fraction=None).train({"mask"})
    first = root / "out" / "probabilities" / ("." if classes == 1 else "1_class_1") / f"{training.ids[-1]}.png"
    Image.fromarray(np.zeros((9, 9), np.uint16)).save(first)
    with pytest.raises(ValueError, match=r"has the size \(9, 9\), but .* \(20, 24\); run fovea-predict again"):
        learned(root, classes).train({"mask"})
