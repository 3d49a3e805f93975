"""Targets as they are read, resized, augmented, batched and scored."""

from pathlib import Path

import albumentations as A
import numpy as np
import pytest
import torch
from PIL import Image

from fovea.data.images.folder import Folder
from fovea.data.images.masks import read_mask
from fovea.data.images.samples import ImageTraining, Resized
from fovea.data.images.targets import Mask
from fovea.data.loader import stacked
from fovea.losses import IGNORE

IGNORED = 255
SIZE = (12, 16)


def scribble(classes: int, number: int) -> np.ndarray:
    """Return stored values [H, W]: one line of each class, nothing else labeled."""
    values = np.full(SIZE, IGNORED, np.uint8)
    for label in range(max(classes, 2)):
        values[1 + 3 * label, number : number + 8] = label
    return values


@pytest.fixture(params=[1, 3], ids=["one_class", "three_classes"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    """Four images with scribbles, and one whose mask has only ignored pixels."""
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    for number in range(5):
        image = np.random.default_rng(number).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
        values = scribble(request.param, number) if number < 4 else np.full(SIZE, IGNORED, np.uint8)
        Image.fromarray(image).save(tmp_path / "images" / f"i{number}.png")
        Image.fromarray(values).save(tmp_path / "masks" / f"i{number}.png")
    return Folder(tmp_path, classes=request.param, ignore_label=IGNORED)


class TestIgnoredPixels:
    def test_reading_and_resizing(self, folder: Folder) -> None:
        for number in range(4):
            stored = scribble(folder.classes, number).astype(int)
            np.testing.assert_array_equal(folder.mask(f"i{number}"), np.where(stored == IGNORED, IGNORE, stored))
            assert Mask(folder).labels(f"i{number}").dtype == np.int64
        resized = Mask(folder).resize(folder.mask("i0"), 32)
        assert resized.shape == (32, 32) and set(np.unique(resized)) == {IGNORE, *range(max(folder.classes, 2))}
        for classes, ignore_label in ((1, 0), (1, 1), (3, 2)):
            with pytest.raises(ValueError, match=f"ignore_label={ignore_label} is a class"):
                Folder(folder.root, classes=classes, ignore_label=ignore_label)

    def test_an_image_without_labeled_pixels(self, folder: Folder, caplog: pytest.LogCaptureFixture) -> None:
        assert Mask(folder).check(folder.ids) == ["i0", "i1", "i2", "i3"]
        assert "1 images have no labeled pixel (data.ignore_label) and are left out: i4" in caplog.text
        assert "cannot be learned" not in caplog.text
        with pytest.raises(ValueError, match="ignore_label=255: the masks"):
            Mask(folder).check(["i4"])
        Image.fromarray(np.where(scribble(1, 0) == 0, 0, IGNORED).astype(np.uint8)).save(
            folder.root / "masks" / "i4.png"
        )
        assert Mask(folder).check(["i4"]) == ["i4"]
        assert "no mask has foreground, apart from data.ignore_label=255, so it cannot be learned" in caplog.text

    def test_augmentation_fills_with_ignored_pixels(self, folder: Folder) -> None:
        samples = ImageTraining(
            Resized(folder, ["i0"], [Mask(folder)], 16),
            A.Normalize(),
            {"group": A.OneOf([A.Affine(translate_px=(16, 16), p=1.0)], p=1.0)},  # moves everything out
            seed=0,
        )
        assert (samples[0, 0]["mask"] == IGNORE).all() and samples[0, 0]["image"].max() == 0

    def test_a_batch_has_minus_one(self, folder: Folder) -> None:
        samples = ImageTraining(Resized(folder, folder.ids[:4], [Mask(folder)], 16), A.Normalize(), {}, seed=0)
        batch = stacked([samples[0, index] for index in range(4)])
        mask = samples.finish({key: torch.as_tensor(batch[key]) for key in ("image", "mask")})["mask"]
        one = folder.classes == 1
        assert mask.dtype == (torch.float32 if one else torch.int64)
        assert mask.shape == ((4, 1, 16, 16) if one else (4, 16, 16))
        expected = [Mask(folder).resize(folder.mask(f"i{n}"), 16) for n in range(4)]
        np.testing.assert_array_equal(mask.reshape(4, 16, 16), np.stack(expected))


@pytest.mark.parametrize(
    ("values", "ignore_label", "expected"),
    [([0, 1, 255], 255, [0, 1, -1]), ([0, 255, 128], 128, [0, 1, -1]), ([7, 0, 7], 7, [-1, 0, -1])],
)
def test_binary_values_beside_the_ignored(tmp_path: Path, values: list, ignore_label: int, expected: list) -> None:
    Image.fromarray(np.array([values], np.uint8)).save(tmp_path / "m.png")
    assert read_mask(tmp_path / "m.png", 1, ignore_label).tolist() == [expected]


def test_a_lossy_or_colored_mask_cannot_have_ignored_pixels(tmp_path: Path) -> None:
    for name, shape, message in (("m.jpg", SIZE, "does not keep labels"), ("m.png", (*SIZE, 3), "a color mask")):
        Image.fromarray(np.zeros(shape, np.uint8)).save(tmp_path / name)
        with pytest.raises(ValueError, match=message):
            read_mask(tmp_path / name, 1, IGNORED)
