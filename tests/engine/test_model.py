"""`fovea.load`: predictions of single images from Python."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import fovea

from .test_checkpoint import CONFIG as TWO_LEVELS
from .test_checkpoint import saved

DATA = {
    "_target_": "fovea.data.images.source.Images",
    "dataset": {"_target_": "fovea.data.images.folder.Folder"},
    "normalize": {"_target_": "albumentations.Normalize", "mean": [0.5] * 3, "std": [0.5] * 3},
    "size": 32,
    "channels": 3,
    "classes": 1,
}
CONFIG = {**TWO_LEVELS, "data": DATA}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory):
    torch.manual_seed(0)
    return fovea.load(saved(tmp_path_factory.mktemp("model") / "a.ckpt", CONFIG))


def test_prediction_has_native_size(model) -> None:
    prediction = model.predict(np.full((50, 70, 3), 90, np.uint8))
    assert prediction.probability.shape == (1, 50, 70) and prediction.mask.shape == (50, 70)
    assert list(prediction.levels) == ["level_1", "level_2"]
    np.testing.assert_array_equal(prediction.mask, prediction.probability[0] > 0.5)


def test_path_array_and_tensor_agree(model, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    expected = model.predict(pixels).probability
    for image in (tmp_path / "a.png", str(tmp_path / "a.png"), torch.from_numpy(pixels)):
        np.testing.assert_array_equal(model.predict(image).probability, expected)


@pytest.mark.parametrize("image", [np.zeros((9, 9)), np.zeros((9, 9, 3), np.float32), np.zeros((9, 9, 1), np.uint8)])
def test_refused_images(model, image: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"image must be uint8 \[H, W, 3\], got"):
        model.predict(image)
