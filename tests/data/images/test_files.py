"""Pixels as stored, and one line for every broken file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fovea.data.images.files import image_files, image_size, read_image, read_mask


def save(path: Path, pixels: np.ndarray, **options: Any) -> Path:
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.fixture
def colors() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)


def test_color_image_comes_back_exactly(tmp_path: Path, colors: np.ndarray) -> None:
    np.testing.assert_array_equal(read_image(save(tmp_path / "a.png", colors), 3), colors)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGB", "RGBA", "1"])
def test_every_mode_becomes_the_channels_asked_for(
    tmp_path: Path, colors: np.ndarray, mode: str, channels: int
) -> None:
    Image.fromarray(colors).convert(mode).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png", channels)
    assert (image.shape, image.dtype) == ((5, 7, channels), np.uint8)


def test_exif_orientation_is_not_applied(tmp_path: Path, colors: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees for display
    path = save(tmp_path / "a.png", colors, exif=exif)
    np.testing.assert_array_equal(read_image(path, 3), colors)


def test_sixteen_bit_image_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.full((4, 4), 40_000, np.uint16))
    with pytest.raises(ValueError, match="more than 8 bits"):
        read_image(path, 1)


def test_impossible_channels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="channels must be 1"):
        read_image(tmp_path / "a.png", 2)


@pytest.mark.parametrize("full", [1, 255])
@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
def test_lossless_binary_mask_comes_back_exactly(tmp_path: Path, suffix: str, full: int) -> None:
    truth = np.eye(6, dtype=np.uint8)
    np.testing.assert_array_equal(read_mask(save(tmp_path / f"m.{suffix}", truth * full)), truth)


def test_jpeg_mask_is_cut_above_127(tmp_path: Path) -> None:
    for value, expected in ((127, 0), (128, 1), (1, 0)):
        path = save(tmp_path / "m.jpg", np.full((8, 8), value, np.uint8), quality=100)
        assert np.unique(read_mask(path)).tolist() == [expected]


def test_color_mask_is_read_as_gray(tmp_path: Path) -> None:
    truth = np.eye(6, dtype=np.uint8)
    path = save(tmp_path / "m.png", np.repeat(truth[..., None] * 255, 3, axis=2))
    np.testing.assert_array_equal(read_mask(path), truth)


def test_one_bit_mask_serves_as_binary_and_as_labels(tmp_path: Path) -> None:
    truth = np.eye(6, dtype=np.uint8)
    path = save(tmp_path / "m.png", truth.astype(bool))
    np.testing.assert_array_equal(read_mask(path, 1), truth)
    np.testing.assert_array_equal(read_mask(path, 2), truth)


def test_binary_mask_without_a_bright_pixel_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "m.png", np.array([[0, 2]], np.uint8))
    with pytest.raises(ValueError, match=r"highest here is 2.*data\.classes"):
        read_mask(path)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_labels_come_as_stored(tmp_path: Path, dtype: type) -> None:
    labels: np.ndarray = np.arange(4, dtype=dtype).reshape(2, 2)
    mask = read_mask(save(tmp_path / "m.png", labels), classes=4)
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, labels)


def test_palette_mask_gives_its_indices(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8)).convert("P")
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    image.save(tmp_path / "m.png")
    assert read_mask(tmp_path / "m.png", classes=3).tolist() == [[0, 1, 2]]


@pytest.mark.parametrize(
    ("name", "pixels", "complaint"),
    [
        ("m.png", np.full((2, 2), 3, np.uint8), "label 3 is not in 0 to 2"),
        ("m.png", np.zeros((2, 2, 3), np.uint8), "color mask"),
        ("m.jpg", np.zeros((2, 2), np.uint8), "does not keep labels"),
    ],
)
def test_labels_that_cannot_be_right_are_refused(tmp_path: Path, name: str, pixels: np.ndarray, complaint: str) -> None:
    path = save(tmp_path / name, pixels)
    with pytest.raises(ValueError, match=rf"{name}: .*{complaint}"):
        read_mask(path, classes=3)


def test_size_is_height_then_width(tmp_path: Path, colors: np.ndarray) -> None:
    assert image_size(save(tmp_path / "a.jpg", colors)) == (5, 7)


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_truncated_file_is_named(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = save(tmp_path / f"cut.{suffix}", noise)
    path.write_bytes(path.read_bytes()[:-4000])
    for read in (read_image, read_mask):
        with pytest.raises(ValueError, match=rf"cannot decode .*cut\.{suffix}: .*; replace the file") as caught:
            read(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"no picture at all", b"\x89PNG\r\n\x1a\n" + bytes(40)])
@pytest.mark.parametrize("read", [read_image, read_mask, image_size])
def test_what_is_no_image_is_named(tmp_path: Path, content: bytes, read: Callable[[Path], object]) -> None:
    path = tmp_path / "fake.png"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"cannot decode .*fake\.png"):
        read(path)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"cannot read .*gone\.png: no such file"):
        read_image(tmp_path / "gone.png")


def test_decompression_bomb_is_refused(tmp_path: Path, colors: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "bomb.png", colors)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(ValueError, match=r"cannot decode .*bomb\.png: more pixels than are safe"):
        read_image(path)


def test_tiff_of_pages_is_refused(tmp_path: Path, colors: np.ndarray) -> None:
    page = Image.fromarray(colors)
    page.save(tmp_path / "stack.tif", save_all=True, append_images=[page])
    with pytest.raises(ValueError, match=r"stack\.tif: a TIFF of several pages"):
        read_image(tmp_path / "stack.tif")


def test_image_files_are_found_by_stem_in_order(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpg", "c.1.TIFF", ".hidden.png", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert list(image_files(tmp_path).items()) == [
        ("a", tmp_path / "a.jpg"),
        ("b", tmp_path / "b.PNG"),
        ("c.1", tmp_path / "c.1.TIFF"),
    ]


def test_two_files_of_one_stem_are_refused(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg"):
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match=r"a\.jpg and a\.png share"):
        image_files(tmp_path)


@pytest.mark.parametrize("make", ["nothing", "empty", "file"])
def test_folder_without_images_is_refused(tmp_path: Path, make: str) -> None:
    folder = tmp_path / "images"
    if make == "empty":
        folder.mkdir()
    elif make == "file":
        folder.touch()
    with pytest.raises(ValueError, match="images: n"):
        image_files(folder)
