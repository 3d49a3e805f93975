"""Pixels as stored, and one line for every broken file."""

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from fovea.data.images.files import image_files, image_size, read_image
from fovea.data.images.folder import Folder
from fovea.data.images.masks import read_mask


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


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_exif_orientation_is_not_applied(
    tmp_path: Path, colors: np.ndarray, suffix: str, turn: int, compression: str | None
) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    path = save(tmp_path / f"a.{suffix}", colors, exif=exif, compression=compression)
    np.testing.assert_array_equal(read_image(path, 3), colors)
    assert image_size(path) == (5, 7)
    half = (np.arange(35).reshape(5, 7) % 3 == 0).astype(np.uint8)
    np.testing.assert_array_equal(read_mask(save(tmp_path / f"m.{suffix}", half, exif=exif)), half)


def test_exif_orientations_are_counted_once(
    tmp_path: Path, colors: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "images").mkdir()
    for index, suffix in enumerate(("jpg", "png", "tif", "bmp", "jpg")):
        exif = Image.Exif()
        exif[0x0112] = 1 if index == 4 else 6
        options = {} if suffix == "bmp" else {"exif": exif}
        save(tmp_path / "images" / f"{index}.{suffix}", colors, **options)
    for _ in range(2):
        assert len(Folder(tmp_path).ids) == 5
    [record] = caplog.records
    assert "3 of 5 images have an EXIF orientation" in record.getMessage()


@pytest.mark.parametrize("channels", [None, 3, 4])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bit_image_is_refused(tmp_path: Path, suffix: str, channels: int | None) -> None:
    path = tmp_path / f"a.{suffix}"
    cv2.imwrite(str(path), np.full((4, 4, channels) if channels else (4, 4), 4_000, np.uint16))
    with pytest.raises(ValueError, match=rf"^{path}: more than 8 bits.*choose the range"):
        read_image(path, 1)


def test_sixteen_bit_gray_with_alpha_is_refused(tmp_path: Path) -> None:
    def chunk(name: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")

    head = b"\0\0\0\1\0\0\0\1\x10\4\0\0\0"  # 1 x 1 pixel, 16 bits, gray and alpha
    parts = chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(b"\0\x0f\xff\xff\xff")), chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    with pytest.raises(ValueError, match="more than 8 bits"):
        read_image(tmp_path / "a.png", 1)


def test_impossible_channels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="channels must be 1"):
        read_image(tmp_path / "a.png", 2)


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


@pytest.mark.filterwarnings("ignore::UserWarning")  # of Pillow, about the damage
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_changed_bytes_end_in_one_line(tmp_path: Path, suffix: str, colors: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    whole = save(tmp_path / f"a.{suffix}", colors, exif=exif).read_bytes()
    rng, path = np.random.default_rng(0), tmp_path / f"b.{suffix}"
    for _ in range(100):
        changed = np.frombuffer(whole, np.uint8).copy()
        changed[rng.integers(0, len(changed), 4)] = rng.integers(0, 256, 4)
        path.write_bytes(changed.tobytes())
        for read in (read_image, read_mask, image_size):
            try:
                read(path)
            except ValueError as error:
                assert "\n" not in str(error)


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
