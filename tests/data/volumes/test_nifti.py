"""NIfTI files: one orientation, and a one-line error for each invalid file."""

import gzip
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from fovea.data.volumes.nifti import read_header, read_labels, read_map, read_volume, write_labels

from .conftest import write

# Axes from front to back, from feet to head and from right to left, of 2, 3 and 4 mm.
AFFINE = np.array([[0.0, 0.0, -4.0, 5.0], [-2.0, 0.0, 0.0, 6.0], [0.0, 3.0, 0.0, 7.0], [0.0, 0.0, 0.0, 1.0]])


@pytest.fixture
def turned(tmp_path: Path) -> Path:
    path = tmp_path / "turned.nii.gz"
    nib.save(nib.Nifti1Image(np.arange(24, dtype=np.int16).reshape(2, 3, 4), AFFINE), path)
    return path


def test_a_volume_is_turned_to_ras(turned: Path) -> None:
    header, volume = read_header(turned), read_volume(turned)
    assert header.shape == volume.shape == (4, 2, 3) and header.spacing == (4.0, 2.0, 3.0)
    expected = np.arange(24).reshape(2, 3, 4).transpose(2, 0, 1)[::-1, ::-1]
    assert volume.dtype == np.float32 and np.array_equal(volume, expected)


def test_labels_are_written_in_the_orientation_of_the_file(turned: Path, tmp_path: Path) -> None:
    labels = (read_volume(turned) % 3).astype(np.uint8)
    out = tmp_path / "out" / "labels.nii.gz"
    write_labels(out, labels, turned)
    written = nib.load(out)
    np.testing.assert_array_equal(written.affine, AFFINE)
    np.testing.assert_array_equal(written.get_fdata(), np.arange(24).reshape(2, 3, 4) % 3)
    np.testing.assert_array_equal(read_labels(out, 3), labels)
    first = out.read_bytes()
    write_labels(out, labels, turned)
    assert out.read_bytes() == first and gzip.decompress(first)


def test_a_fourth_axis_of_one_is_dropped(tmp_path: Path) -> None:
    write(tmp_path / "four.nii", np.zeros((3, 4, 5, 1), np.float32))
    assert read_volume(tmp_path / "four.nii").shape == (3, 4, 5)


@pytest.mark.parametrize("ignore_label", [255, 4, -1])
def test_ignored_values_become_minus_one(ignore_label: int, tmp_path: Path) -> None:
    values = np.resize([0, 1, ignore_label, 2, ignore_label], (2, 3, 4)).astype(np.int16)
    write(tmp_path / "mask.nii", values)
    labels = read_labels(tmp_path / "mask.nii", 3, ignore_label)
    naive = [-1 if value == ignore_label else value for value in values.ravel()]
    assert labels.ravel().tolist() == naive


def singular(path: Path) -> None:
    write(path, np.zeros((3, 4, 5), np.float32))
    content = bytearray(path.read_bytes())
    content[280:328] = bytes(48)  # the rows of the affine (sform)
    path.write_bytes(bytes(content))


def truncated(path: Path) -> None:
    write(path, np.zeros((3, 4, 5), np.float32))
    path.write_bytes(path.read_bytes()[:400])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: write(path, np.zeros((3, 4), np.float32)), "shape (3, 4)"),
        (lambda path: write(path, np.zeros((3, 4, 5, 2), np.float32)), "shape (3, 4, 5, 2)"),
        (singular, "singular affine"),
        (truncated, "cannot be read as NIfTI"),
        (lambda path: path.write_text("hello"), "cannot be read as NIfTI"),
        (lambda path: write(path, np.full((3, 4, 5), np.nan, np.float32)), "not finite"),
        (lambda path: None, "no such file"),
    ],
)
def test_an_invalid_volume_is_refused(make: Callable, message: str, tmp_path: Path) -> None:
    make(tmp_path / "x.nii")
    with pytest.raises(ValueError) as refused:
        read_volume(tmp_path / "x.nii")
    assert str(refused.value).startswith(f"{tmp_path / 'x.nii'}: ") and message in str(refused.value)


@pytest.mark.parametrize(
    ("values", "message"), [([0, 0.5], "got 0.5"), ([0, 3, 7], "unknown label 3, 7"), ([-1, 0], "unknown label -1")]
)
def test_an_invalid_mask_is_refused(values: list[float], message: str, tmp_path: Path) -> None:
    write(tmp_path / "mask.nii", np.resize(values, (2, 3, 4)).astype(np.float32))
    with pytest.raises(ValueError, match=message):
        read_labels(tmp_path / "mask.nii", 3)


def test_a_map_is_in_0_to_1(tmp_path: Path) -> None:
    values = np.linspace(0, 1, 24, dtype=np.float32).reshape(2, 3, 4)
    write(tmp_path / "map.nii", values)
    np.testing.assert_array_equal(read_map(tmp_path / "map.nii"), values)
    write(tmp_path / "map.nii", 255 * values)
    with pytest.raises(ValueError, match=r"\[0, 1\], got values from 0 to 255"):
        read_map(tmp_path / "map.nii")


def test_other_suffixes_are_never_opened(tmp_path: Path) -> None:
    (tmp_path / "x.pkl").write_bytes(b"anything")
    with pytest.raises(ValueError, match=r"not a NIfTI file; its name must end in \.nii"):
        read_header(tmp_path / "x.pkl")
