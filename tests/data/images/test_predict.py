"""Folders of new images as people have them."""

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from fovea.data.images import predict as images
from fovea.data.predict_request import PredictRequest

DATA = {
    "dataset": {"_target_": "fovea.data.images.folder.Folder"},
    "channels": 3,
    "classes": 1,
    "size": 16,
    "normalize": {"_target_": "albumentations.Normalize", "normalization": "min_max"},
}


class Brightness(nn.Module):
    """Take the brightness of a pixel as its probability."""

    def forward(self, image: torch.Tensor, size: tuple[int, int]) -> dict[str, torch.Tensor]:
        resized = nn.functional.interpolate(image.mean(1, keepdim=True), tuple(size), mode="nearest")
        return {"prediction": resized.clamp(0, 1)}


class Three(nn.Module):
    """Take the shares of the colors in a pixel as the probabilities of three classes."""

    def forward(self, image: torch.Tensor, size: tuple[int, int]) -> dict[str, torch.Tensor]:
        resized = nn.functional.interpolate(image + 0.01, tuple(size), mode="nearest")
        return {"prediction": resized / resized.sum(1, keepdim=True)}


def predict(source: Path, out: Path, **data: object) -> dict[str, str]:
    network = images.FromPixels(DATA | data, Brightness(), torch.device("cpu"))
    count, failures = images.predict(DATA | data, network, PredictRequest(source, out))
    assert count == len(failures) + len([path for path in (out / "masks").rglob("*") if path.is_file()])
    return failures


@pytest.fixture
def half() -> np.ndarray:
    """An image of 24 x 32 pixels, bright in its lower half."""
    image = np.zeros((24, 32, 3), np.uint8)
    image[12:] = 255
    return image


def test_every_image_gets_its_own_mask(tmp_path: Path, half: np.ndarray, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("a.png", "a.jpg", "p1/a.png", "p1/b/c.TIFF"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(half).save(tmp_path / "in" / name)
    for name in ("notes.docx", "p1/v.MHA.GZ", "x.webp", "slice.dat", "p1/raw"):
        (tmp_path / "in" / name).touch()
    (tmp_path / "in" / "bad.png").write_bytes(b"damaged")
    assert [*predict(tmp_path / "in", tmp_path / "out")] == ["bad"]
    for folder in ("masks", "overlays"):
        found = sorted(
            path.relative_to(tmp_path / "out" / folder).as_posix()
            for path in (tmp_path / "out").rglob("*.png")
            if folder in path.parts
        )
        assert found == ["a.jpg.png", "a.png.png", "p1/a.png", "p1/b/c.png"]
    mask = np.asarray(Image.open(tmp_path / "out" / "masks" / "p1" / "a.png"))
    np.testing.assert_array_equal(mask, half[..., 0])
    assert "2 files differ only in the suffix" in caplog.text
    assert "skipped 5 files (.GZ, .dat, .docx, .webp, no suffix)" in caplog.text
    [alone] = predict(tmp_path / "in" / "bad.png", tmp_path / "other")
    assert alone == "bad"
    predict(tmp_path / "in" / "a.jpg", tmp_path / "one")
    assert (tmp_path / "one" / "masks" / "a.png").is_file()
    with pytest.raises(ValueError, match=r"raw has no image \(\.bmp, .*among its 1 files"):
        predict(tmp_path / "in" / "p1" / "raw", tmp_path / "none")


def test_values_that_are_no_numbers_give_no_mask(tmp_path: Path, half: np.ndarray) -> None:
    (tmp_path / "in").mkdir()
    for name, image in (("bright", half), ("dark", half * 0)):
        Image.fromarray(image).save(tmp_path / "in" / f"{name}.png")

    def unsure(pixels: np.ndarray) -> dict[str, torch.Tensor]:
        return {"prediction": torch.full((1, 1, *pixels.shape[:2]), 0.9 if pixels.any() else float("nan"))}

    count, failures = images.predict(DATA, unsure, PredictRequest(tmp_path / "in", tmp_path / "out"))
    assert count == 2 and failures["dark"].startswith(
        f"{tmp_path / 'in' / 'dark.png'}: the network returns values that"
    )
    assert [path.name for path in (tmp_path / "out" / "masks").iterdir()] == ["bright.png"]


def test_a_mask_is_turned_like_its_image(tmp_path: Path, half: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "in").mkdir()
    Image.fromarray(half).save(tmp_path / "in" / "a.png", exif=exif)
    stored = half[..., 0]
    for choice, expected in (("ignore", stored), ("apply", np.rot90(stored, -1))):
        assert predict(tmp_path / "in", tmp_path / choice, exif=choice) == {}
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / choice / "masks" / "a.png")), expected)


def test_a_window_is_that_of_the_training(tmp_path: Path, half: np.ndarray) -> None:
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in" / "a.png"), half[..., 0].astype(np.uint16) // 255 * 4095)
    assert "more than 8 bits" in predict(tmp_path / "in", tmp_path / "without")["a"]
    assert predict(tmp_path / "in", tmp_path / "with", range=[0, 4095]) == {}
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "with" / "masks" / "a.png")), half[..., 0])


def test_each_class_has_its_figures_and_its_probabilities(tmp_path: Path) -> None:
    image = np.zeros((20, 30, 3), np.uint8)
    image[..., 0], image[2:9, 3:7, 1], image[12:14, 20:29, 1] = 255, 255, 255
    image[2:9, 3:7, 0] = image[12:14, 20:29, 0] = 0
    (tmp_path / "in").mkdir()
    Image.fromarray(image).save(tmp_path / "in" / "a.png")
    data = DATA | {"classes": 3, "labels": {0: "background", 85: "optic/cup", 170: "disc"}, "size": 64}
    network = images.FromPixels(data, Three(), torch.device("cpu"))
    request = PredictRequest(tmp_path / "in", tmp_path / "out", probabilities=True)
    assert images.predict(data, network, request) == (1, {})
    mask = np.asarray(Image.open(tmp_path / "out" / "masks" / "a.png"))
    assert abs((mask == 1).sum() - 46) < 20 and not (mask == 2).any()
    assert (tmp_path / "out" / "labels.txt").read_text().splitlines() == [
        *('0 0 0 0 0 0 0 "background"', '1 86 180 233 1 1 1 "optic/cup"', '2 213 94 0 1 1 1 "disc"')
    ]
    above_legend = np.asarray(Image.open(tmp_path / "out" / "overlays" / "a.png"))[:20, :30]
    assert (above_legend == image).all(axis=2)[mask == 0].mean() > 0.9
    with (tmp_path / "out" / "predictions.csv").open(newline="") as file:
        cup, disc = csv.DictReader(file)
    assert (cup["structure"], cup["label"], cup["pixels"]) == ("optic/cup", "1", str((mask == 1).sum()))
    assert 0.4 < float(cup["largest_share"]) < 0.75 and cup["mm2"] == cup["mm3"] == ""
    assert (disc["pixels"], disc["largest_share"], disc["mean_probability"]) == ("0", "", "")
    maps = [tmp_path / "out" / "probabilities" / folder / "a.png" for folder in ("1_optic_cup", "2_disc")]
    found = np.stack([np.asarray(Image.open(path)) for path in maps])
    assert found.dtype == np.uint16 and found.shape == (2, 20, 30)
    expected = network(image)["prediction"][0, 1:].numpy() * 65535
    assert np.abs(found - expected).max() <= 0.5
    assert float(cup["mean_probability"]) == pytest.approx(expected[0][mask == 1].mean() / 65535, rel=1e-4)
    before = maps[0].stat().st_mtime_ns
    assert images.predict(data, network, request) == (1, {}) and maps[0].stat().st_mtime_ns == before
