"""`fovea.load`: predictions of single images from Python."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import fovea
from fovea.engine.build import build
from fovea.engine.model import Foreground

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


def test_prediction_of_a_path_an_array_a_tensor_or_a_list(model, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    expected = model.predict(pixels)
    assert expected.probability.shape == (1, 40, 30) and list(expected.levels) == ["level_1", "level_2"]
    np.testing.assert_array_equal(expected.mask, expected.probability[0] > 0.5)
    images = [tmp_path / "a.png", str(tmp_path / "a.png"), torch.from_numpy(pixels), np.full((20, 9, 3), 9, np.uint8)]
    predictions = model.predict(images)
    for image, prediction in zip(images, predictions, strict=True):
        np.testing.assert_array_equal(model.predict(image).probability, prediction.probability)
    assert all(np.array_equal(each.probability, expected.probability) for each in predictions[:3])
    assert predictions[3].mask.shape == (20, 9) and model.predict([]) == []


def test_the_foreground_by_a_model_of_gray_images_is_that_of_the_gray_image(tmp_path: Path) -> None:
    data = DATA | {"channels": 1, "normalize": {"_target_": "albumentations.Normalize", "normalization": "image"}}
    config = CONFIG | {"data": data, "backbone": CONFIG["backbone"] | {"in_channels": 1}}
    path, pixels = tmp_path / "a.ckpt", np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
    state = {f"supervision.{key}": value for key, value in build(config).state_dict().items()}
    torch.save({"state_dict": state, "fovea": {"config": config}}, path)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    expected = fovea.load(path).predict(tmp_path / "a.png").probability[0]
    np.testing.assert_array_equal(Foreground(str(path), "cpu", [])(pixels), expected)


def test_several_checkpoints_predict_their_mean(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
    for seed, run in enumerate(("a", "b")):
        torch.manual_seed(seed)
        (tmp_path / run / "checkpoints").mkdir(parents=True)
        saved(tmp_path / run / "checkpoints" / "best.ckpt", CONFIG)
    one, other = (fovea.load(tmp_path / run).predict(pixels) for run in ("a", "b"))
    mean = fovea.load([tmp_path / "a", str(tmp_path / "b/checkpoints/best.ckpt")]).predict(pixels)
    assert abs(one.probability - other.probability).max() > 1e-3
    np.testing.assert_allclose(mean.probability, (one.probability + other.probability) / 2, atol=1e-6)
    np.testing.assert_allclose(mean.levels["level_2"], (one.levels["level_2"] + other.levels["level_2"]) / 2, atol=1e-6)
    for key, value in {"size": 64, "range": [0, 4095], "exif": "apply"}.items():
        saved(tmp_path / "c.ckpt", CONFIG | {"data": DATA | {key: value}})
        with pytest.raises(
            ValueError, match=rf"a/checkpoints/best\.ckpt and .*c\.ckpt differ in data\.{key}; give networks"
        ):
            fovea.load([tmp_path / "a", tmp_path / "c.ckpt"])
    saved(tmp_path / "c.ckpt", CONFIG | {"data": DATA | {"range": None, "exif": "ignore"}})  # the defaults
    fovea.load([tmp_path / "a", tmp_path / "c.ckpt"])
    for given in ([], None, [tmp_path, None]):
        with pytest.raises(ValueError, match="checkpoint must be a file, a run folder or a list of them, got"):
            fovea.load(given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "image",
    [np.zeros((9, 9)), np.zeros((9, 9, 3), np.float32), np.zeros((9, 9, 1), np.uint8), np.zeros((0, 9, 3), np.uint8)],
)
def test_refused_images(model, image: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"image must be uint8 \[H, W, 3\], got"):
        model.predict(image)
    with pytest.raises(ValueError, match="spacing is for models of volumes"):
        model.predict(image, (1.0, 1.0))
    with pytest.raises(ValueError, match=r"^s\.nii\.gz: a volume, and this model reads images; give each slice"):
        model.predict("s.nii.gz")


def test_lines_of_the_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    [code] = [block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "fovea.load(" in block]
    saved(tmp_path / "best.ckpt", CONFIG)
    for name in ("image.png", "other.png"):
        Image.fromarray(np.full((30, 40, 3), 90, np.uint8)).save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    exec(code.replace("logs/train/RUN/checkpoints/", ""), {})
    assert (tmp_path / "mask.png").is_file()
    assert len(code.strip().splitlines()) == 10
