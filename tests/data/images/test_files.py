"""Pixels as stored, and one line for every broken file."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from fovea.data.images.files import image_files, image_size, read_image
from fovea.data.images.folder import Folder
from fovea.data.images.masks import read_mask


def save(path: Path, pixels: np.ndarray, **options: Any) -> Path:
    Image.fromarray(pixels).save(path, **options)
    return path


def orientation(turn: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = turn
    return exif


def turn_tiff(path: Path, turn: int, tag: int = 0x0112) -> None:
    """Give a TIFF file a new directory, with an orientation, or with another short tag."""
    data = path.read_bytes() + b"\0" * (path.stat().st_size % 2)
    [start] = struct.unpack("<I", data[4:8])
    [count] = struct.unpack("<H", data[start : start + 2])
    entries = [data[start + 2 + 12 * n : start + 14 + 12 * n] for n in range(count)]
    entries = [entry for entry in entries if entry[:2] != struct.pack("<H", tag)]
    entries.append(struct.pack("<HHIHH", tag, 3, 1, turn, 0))
    entries.sort(key=lambda entry: struct.unpack("<H", entry[:2]))
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    path.write_bytes(data[:4] + struct.pack("<I", len(data)) + data[8:] + directory)


@pytest.fixture
def colors() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGB", "RGBA", "1"])
def test_every_mode_becomes_the_channels_asked_for(
    tmp_path: Path, colors: np.ndarray, mode: str, channels: int
) -> None:
    Image.fromarray(colors).convert(mode).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png", channels, window=(0, 4095))  # a window is for more than 8 bits
    assert (image.shape, image.dtype) == ((5, 7, channels), np.uint8)
    if mode == "RGB" and channels == 3:
        np.testing.assert_array_equal(image, colors)


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_exif_orientation_is_ignored_or_applied(
    tmp_path: Path, colors: np.ndarray, suffix: str, turn: int, compression: str | None
) -> None:
    path = save(tmp_path / f"a.{suffix}", colors, exif=orientation(turn), compression=compression)
    half = (np.arange(35).reshape(5, 7) % 3 == 0).astype(np.uint8)
    mask = save(tmp_path / f"m.{suffix}", half, exif=orientation(turn))
    assert image_size(path) == (5, 7)
    np.testing.assert_array_equal(read_image(path), colors)
    np.testing.assert_array_equal(read_mask(mask), half)

    def displayed(pixels: np.ndarray) -> np.ndarray:
        image = Image.fromarray(pixels)
        image.getexif()[0x0112] = turn
        return np.asarray(ImageOps.exif_transpose(image))

    assert image_size(path, "apply") == displayed(half).shape
    np.testing.assert_array_equal(read_image(path, exif="apply"), displayed(colors))
    np.testing.assert_array_equal(read_mask(mask, exif="apply"), displayed(half))


def test_a_folder_applies_the_orientation_of_each_file(
    tmp_path: Path, colors: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    for kind, pixels, turn in (("images", colors, 6), ("masks", np.eye(7, 5, dtype=np.uint8) * 255, 1)):
        (tmp_path / kind).mkdir()
        save(tmp_path / kind / "a.png", pixels, exif=orientation(turn))
    np.testing.assert_array_equal(Folder(tmp_path, exif="apply").mask("a"), np.eye(7, 5))
    with pytest.raises(ValueError, match=r"5 x 7 pixels, but .* is 7 x 5"):
        Folder(tmp_path).mask("a")
    for exif in ("ignore", "apply"):
        caplog.clear()
        Folder(tmp_path, exif=exif).check(["a"], masks=True)
        said = (
            "1 masks have no EXIF orientation, but their images have: a; they must have been drawn on the turned image"
        )
        assert any(said in record.getMessage() for record in caplog.records) == (exif == "apply")
    save(tmp_path / "masks" / "a.png", np.eye(5, 7, dtype=np.uint8) * 255, exif=orientation(6))
    caplog.clear()
    Folder(tmp_path, exif="apply").check(["a"], masks=True)
    assert not caplog.records


def test_exif_orientations_are_counted_once(
    tmp_path: Path, colors: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "images").mkdir()
    for index, suffix in enumerate(("jpg", "png", "tif", "bmp", "jpg")):
        options = {} if suffix == "bmp" else {"exif": orientation(1 if index == 4 else 6)}
        save(tmp_path / "images" / f"{index}.{suffix}", colors, **options)
    for _ in range(2):
        assert len(Folder(tmp_path).ids) == len(Folder(tmp_path, exif="apply").ids) == 5
    [record] = caplog.records
    assert "3 of 5 images have an EXIF orientation" in record.getMessage()
    assert "data.exif=apply" in record.getMessage()


@pytest.mark.parametrize("channels", [None, 3, 4])
@pytest.mark.parametrize("suffix", ["png", "tif"])
class TestMoreThanEightBits:
    def test_a_window_says_what_is_black_and_white(self, tmp_path: Path, suffix: str, channels: int | None) -> None:
        values = np.random.default_rng(0).integers(0, 4096, (5, 7, channels or 1), dtype=np.uint16)
        values[0, :3, :3] = np.array([[0], [2048], [4095]])
        cv2.imwrite(str(tmp_path / f"a.{suffix}"), values)
        plain = np.rint(values[..., :3][..., ::-1] / 4095 * 255)
        image = read_image(tmp_path / f"a.{suffix}", 3, window=(0, 4095))
        np.testing.assert_array_equal(image, np.broadcast_to(plain, (5, 7, 3)))
        gray = read_image(tmp_path / f"a.{suffix}", 1, window=(0, 4095))
        np.testing.assert_array_equal(gray[..., 0], np.asarray(Image.fromarray(image).convert("L")))
        narrow = read_image(tmp_path / f"a.{suffix}", 3, window=(1000, 2000))
        assert narrow[0, :3].tolist() == [[0] * 3, [255] * 3, [255] * 3]

    def test_without_a_window_it_is_refused(self, tmp_path: Path, suffix: str, channels: int | None) -> None:
        path = tmp_path / f"a.{suffix}"
        cv2.imwrite(str(path), np.full((4, 4, channels) if channels else (4, 4), 4_000, np.uint16))
        with pytest.raises(ValueError, match=rf"^{path}: more than 8 bits.*set data\.range=\[low,high\]"):
            read_image(path, 1)

    @pytest.mark.parametrize("turn", range(2, 9))
    def test_a_turned_tiff(self, tmp_path: Path, suffix: str, channels: int | None, turn: int) -> None:
        plain, path = tmp_path / "plain.tif", tmp_path / "a.tif"
        values = np.random.default_rng(0).integers(0, 4096, (5, 7, channels or 1), dtype=np.uint16)
        for file in (plain, path):
            cv2.imwrite(str(file), values, [cv2.IMWRITE_TIFF_COMPRESSION, 1 if suffix == "tif" else 8])
        turn_tiff(path, turn)
        np.testing.assert_array_equal(read_image(path, 3, (0, 4095)), read_image(plain, 3, (0, 4095)))
        assert read_image(path, 3, (0, 4095), "apply").shape[:2] == image_size(path, "apply")
        assert image_size(path, "apply") == ((7, 5) if turn > 4 else (5, 7))


def test_a_window_of_floats_and_of_large_integers(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif", np.array([[-2, 0, 0.5, 1, 9]], np.float32))
    assert read_image(path, 1, (0, 1))[0, :, 0].tolist() == [0, 0, 128, 255, 255]
    save(path, np.array([[0, np.nan]], np.float32))
    with pytest.raises(ValueError, match="values are not numbers"):
        read_image(path, 1, (0, 1))
    save(path, np.array([[0, 2**31, 2**32 - 1]], np.uint32).view(np.int32))
    turn_tiff(path, 1, 0x0153)  # without a sign
    assert read_image(path, 1, (0, 2**32 - 1))[0, :, 0].tolist() == [0, 128, 255]
    with pytest.raises(ValueError, match=r"range must be .* low below high"):
        Folder(tmp_path, range=[4095, 0])


@pytest.mark.parametrize(
    ("dtype", "tag", "value", "problem"),
    [
        (np.uint16, 0x0106, 0, "more than 8 bits, and 0 is white"),
        (np.float32, 0x0106, 0, "more than 8 bits, and 0 is white"),
        (np.uint8, 0x0153, 2, "8 bits with a sign"),
    ],
)
def test_tiff_that_pillow_misreads_is_refused(tmp_path: Path, dtype: type, tag: int, value: int, problem: str) -> None:
    path = save(tmp_path / "a.tif", np.array([[0, 1]], dtype))
    turn_tiff(path, value, tag)
    with pytest.raises(ValueError, match=rf"a\.tif: {problem}"):
        read_image(path, 1, (0, 1))
    with pytest.raises(ValueError, match=rf"a\.tif: {problem}"):
        read_mask(path)


def test_sixteen_bit_gray_with_alpha(tmp_path: Path) -> None:
    def chunk(name: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")

    head = b"\0\0\0\1\0\0\0\1\x10\4\0\0\0"  # 1 x 1 pixel, 16 bits, gray and alpha
    parts = chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(b"\0\x0f\xff\xff\xff")), chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    with pytest.raises(ValueError, match="more than 8 bits"):
        read_image(tmp_path / "a.png", 1)
    assert read_image(tmp_path / "a.png", 1, (0, 8190)).item() == 128


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_truncated_file_is_named(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = save(tmp_path / f"cut.{suffix}", noise)
    path.write_bytes(path.read_bytes()[:-4000])
    for read in (read_image, read_mask):
        with pytest.raises(ValueError, match=rf"cannot decode .*cut\.{suffix}: .*; replace the file"):
            read(path)


@pytest.mark.parametrize("content", [b"", b"no picture at all", b"\x89PNG\r\n\x1a\n" + bytes(40)])
@pytest.mark.parametrize("read", [read_image, read_mask, image_size])
def test_what_is_no_image_is_named(tmp_path: Path, content: bytes, read: Callable[[Path], object]) -> None:
    path = tmp_path / "fake.png"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"cannot decode .*fake\.png"):
        read(path)


def test_what_cannot_be_read_is_refused(tmp_path: Path, colors: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "a.png", colors)
    with pytest.raises(ValueError, match=r"cannot read .*gone\.png: no such file"):
        read_image(tmp_path / "gone.png")
    page = Image.fromarray(colors)
    page.save(tmp_path / "stack.tif", save_all=True, append_images=[page])
    with pytest.raises(ValueError, match=r"stack\.tif: a TIFF of several pages"):
        read_image(tmp_path / "stack.tif")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(ValueError, match=r"cannot decode .*a\.png: more pixels than are safe"):
        read_image(path)


def test_image_files_are_found_by_stem_in_order(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("b.PNG", "a.jpg", "c.1.TIFF", ".hidden.png", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "lost.png").symlink_to("nowhere.png")
    names = {"a": "a.jpg", "b": "b.PNG", "c.1": "c.1.TIFF"}
    assert list(image_files(tmp_path).items()) == [(stem, tmp_path / name) for stem, name in names.items()]
    assert "1 links to missing files are left out: lost.png" in caplog.text
    (tmp_path / "a.png").touch()
    with pytest.raises(ValueError, match=r"a\.jpg and a\.png share"):
        image_files(tmp_path)


def test_folder_without_images_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    for make in (lambda: None, folder.mkdir, lambda: (folder.rmdir(), folder.touch())):  # missing, empty, a file
        make()
        with pytest.raises(ValueError, match="images: n"):
            image_files(folder)
