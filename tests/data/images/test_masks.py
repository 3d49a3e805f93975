"""Masks as people save them: read as they are meant, or refused in one line."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from fovea.data.images.masks import read_mask

DISC = cv2.circle(np.zeros((80, 80), np.uint8), (24, 24), 14, 1, -1)
OTHER = cv2.circle(np.zeros((80, 80), np.uint8), (60, 58), 12, 1, -1)
THIN = cv2.line(np.zeros((80, 80), np.uint8), (5, 75), (75, 5), 1)


def save(path: Path, pixels: np.ndarray, **options: Any) -> Path:
    Image.fromarray(pixels).save(path, **options)
    return path


def color(*parts: tuple[np.ndarray, tuple[int, ...]]) -> np.ndarray:
    """Return an image of shapes in their colors on black."""
    image = np.zeros((80, 80, len(parts[0][1])), np.uint8)
    for shape, value in parts:
        image[shape > 0] = value
    return image


@pytest.mark.parametrize("quality", [20, 50, 75, 95])
def test_jpeg_of_black_and_white_is_cut_above_127(tmp_path: Path, quality: int) -> None:
    path = save(tmp_path / "m.jpg", DISC * 255, quality=quality)
    stored = np.asarray(Image.open(path))
    np.testing.assert_array_equal(read_mask(path), stored > 127)
    assert abs(int(read_mask(path).sum()) - int(DISC.sum())) < 40
    np.testing.assert_array_equal(read_mask(save(tmp_path / "again.png", stored)), stored > 127)


@pytest.mark.parametrize("side", [40, 300])
def test_soft_edges_are_cut_above_127(tmp_path: Path, side: int) -> None:
    soft = cv2.resize(DISC * 255, (side, side), interpolation=cv2.INTER_AREA if side < 80 else cv2.INTER_CUBIC)
    np.testing.assert_array_equal(read_mask(save(tmp_path / "m.png", soft)), soft > 127)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint16, np.int32, np.float32])
def test_labels_come_as_stored(tmp_path: Path, dtype: type) -> None:
    labels = (DISC + (0 if dtype is bool else OTHER * 3)).astype(dtype)
    mask = read_mask(save(tmp_path / "m.tif", labels), classes=4)
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, labels)


def test_labels_may_be_marked_as_transparent(tmp_path: Path) -> None:
    labels = np.array([[0, 1, 255]], np.uint8)
    Image.fromarray(labels).save(tmp_path / "m.png", transparency=255)  # by programs that show an overlay
    assert read_mask(tmp_path / "m.png", ignore_label=255).tolist() == [[0, 1, -1]]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
def test_values_are_mapped_to_classes(tmp_path: Path, dtype: type) -> None:
    path = save(tmp_path / "m.tif", np.array([[0, 85, 170, 171, 7]], dtype))
    values = {0: 0, 170: 1, 85: 2, 171: 1}
    assert read_mask(path, 3, 7, values).tolist() == [[0, 2, 1, 1, -1]]
    with pytest.raises(ValueError, match=r"value 7 is not one of the classes .*ignore_label=7"):
        read_mask(path, 3, None, values)


@pytest.mark.parametrize(
    ("name", "pixels", "complaint"),
    [
        ("m.png", np.full((2, 2), 3, np.uint8), r"value 3 is not one of the classes \(0, 1, 2\); .*ignore_label=3"),
        ("m.png", np.zeros((2, 2, 3), np.uint8), "color mask .* or with a palette, as integers below 3"),
        ("m.jpg", np.zeros((2, 2), np.uint8), "does not keep labels"),
    ],
)
def test_labels_that_cannot_be_right_are_refused(tmp_path: Path, name: str, pixels: np.ndarray, complaint: str) -> None:
    path = save(tmp_path / name, pixels)
    with pytest.raises(ValueError, match=rf"{name}: .*{complaint}"):
        read_mask(path, classes=3)


@pytest.mark.parametrize(
    ("name", "pixels", "complaint"),
    [
        ("ones.jpg", DISC, "0, 1, 2 and JPEG changes them"),
        ("hundred.jpg", DISC * 100, "JPEG changes them"),
        ("two.jpg", DISC * 85 + OTHER * 170, "two or more structures"),
        ("mixed.jpg", DISC * 1 + OTHER * 255, "two or more structures"),
        ("blue.jpg", color((DISC, (0, 0, 255))), "must have no colors"),
        ("blue.png", color((DISC, (0, 0, 255))), r"must have no colors, but has \(0, 0, 255\); .*data.classes"),
        ("both.jpg", color((DISC, (255, 0, 0)), (OTHER, (0, 255, 0))), "must have no colors"),
        ("both.png", color((DISC, (255, 0, 0)), (OTHER, (0, 255, 0))), r"\(255, 0, 0\), \(0, 255, 0\)"),
        ("one.png", DISC * 170, "0, 170"),
        ("dark.png", DISC * 2, r"most frequent of 2 here are 0, 2.*data\.classes"),
        ("two.png", DISC * 85 + OTHER * 170, "0, 85, 170; .*two or more structures"),
        ("bright.png", DISC * 128 + OTHER * 255, "0, 128, 255"),
        ("thin.png", THIN * 128 + (OTHER & ~THIN) * 255, "0, 128, 255"),
        ("mixed.png", DISC * 1 + OTHER * 255, "0, 1, 255"),
        ("alpha.png", np.dstack([np.full((80, 80, 3), 255, np.uint8), DISC * 255]), "transparency and brightness"),
        ("part.tif", DISC * np.float32(0.9), r"fractions \(0 to 0.9\)"),
        ("nan.tif", np.where(DISC, np.float32("nan"), np.float32(0)), "fractions"),
        ("below.tif", DISC.astype(np.int32) * -1, "label -1 is below 0"),
        ("ids.tif", DISC.astype(np.int32) * 70000, "0, 70000"),
        ("deep.png", DISC.astype(np.uint16) * 4095, "0, 4095"),
    ],
)
def test_mask_that_may_mean_something_else_is_refused(
    tmp_path: Path, name: str, pixels: np.ndarray, complaint: str
) -> None:
    path = save(tmp_path / name, pixels)
    with pytest.raises(ValueError, match=rf"^{path}: .*{complaint}") as caught:
        read_mask(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "pixels"),
    [
        *((f"plain.{suffix}", DISC * full) for suffix in ("png", "bmp", "tif") for full in (1, 255)),
        ("bit.png", DISC.astype(bool)),
        ("color.png", color((DISC, (255, 255, 255)))),
        ("int.tif", DISC.astype(np.int32) * 255),
        ("int.tif", DISC.astype(np.int32)),
        ("float.tif", DISC.astype(np.float32)),
        ("float.tif", DISC * np.float32(255)),
        ("deep.png", DISC.astype(np.uint16) * 65535),
        ("deep.png", DISC.astype(np.uint16)),
        ("opaque.png", color((DISC, (255, 255, 255, 255))) | np.array([0, 0, 0, 255], np.uint8)),
        ("layer.png", color((DISC, (255, 255, 255, 255)))),
    ],
)
def test_mask_of_one_structure_comes_back_exactly(tmp_path: Path, name: str, pixels: np.ndarray) -> None:
    np.testing.assert_array_equal(read_mask(save(tmp_path / name, pixels)), DISC)


@pytest.mark.parametrize("full", [1, 65535])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bit_color_mask_is_refused(tmp_path: Path, suffix: str, full: int) -> None:
    path = tmp_path / f"m.{suffix}"
    cv2.imwrite(str(path), np.dstack([DISC.astype(np.uint16) * full] * 3))
    with pytest.raises(ValueError, match=rf"m\.{suffix}: a mask with 16 bits per color"):
        read_mask(path)


@pytest.mark.parametrize("second", [0, 1])
def test_indices_of_a_colored_palette_are_labels(tmp_path: Path, second: int) -> None:
    image = Image.fromarray(DISC + OTHER * 2 * second).convert("P")
    image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
    image.save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png", classes=3), DISC + OTHER * 2 * second)
    if second:
        with pytest.raises(ValueError, match=r"\(128, 0, 0\), \(0, 128, 0\)"):
            read_mask(tmp_path / "m.png")
    else:
        np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), DISC)
