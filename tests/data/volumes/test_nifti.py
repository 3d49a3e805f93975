"""NIfTI files: one orientation, and one line for each that cannot be used."""

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from fovea.data.volumes.nifti import read_header, read_labels, read_volume, write_labels

from .conftest import write

# Axes of a file that run from front to back, from feet to head and from right to left, of 2, 3 and 4 mm.
AFFINE = np.array([[0.0, 0.0, -4.0, 5.0], [-2.0, 0.0, 0.0, 6.0], [0.0, 3.0, 0.0, 7.0], [0.0, 0.0, 0.0, 1.0]])


@pytest.fixture
def turned(tmp_path: Path) -> Path:
    path = tmp_path / "turned.nii.gz"
    nib.save(nib.Nifti1Image(np.arange(24, dtype=np.int16).reshape(2, 3, 4), AFFINE), path)
    return path


def test_a_volume_is_turned_to_ras(turned: Path) -> None:
    header = read_header(turned)
    assert header.shape == (4, 2, 3) and header.spacing == (4.0, 2.0, 3.0)
    volume = read_volume(turned)
    expected = nib.as_closest_canonical(nib.load(turned)).get_fdata()
    assert volume.dtype == np.float32 and np.array_equal(volume, expected)
    assert volume[0, 0, 0] == 15 and volume[-1, -1, -1] == 8  # leftmost, backmost, lowest; and the opposite


def test_labels_are_written_as_the_volume_lies(turned: Path, tmp_path: Path) -> None:
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


def test_a_fourth_axis_of_one_is_none(tmp_path: Path) -> None:
    write(tmp_path / "four.nii", np.zeros((3, 4, 5, 1), np.float32))
    assert read_volume(tmp_path / "four.nii").shape == (3, 4, 5)


def flat(path: Path) -> None:
    write(path, np.zeros((3, 4), np.float32))


def several(path: Path) -> None:
    write(path, np.zeros((3, 4, 5, 2), np.float32))


def singular(path: Path) -> None:
    write(path, np.zeros((3, 4, 5), np.float32))
    content = bytearray(path.read_bytes())
    content[280:328] = bytes(48)  # the rows of the affine (sform)
    path.write_bytes(bytes(content))


def cut(path: Path) -> None:
    write(path, np.zeros((3, 4, 5), np.float32))
    path.write_bytes(path.read_bytes()[:400])


def unknown(path: Path) -> None:
    write(path, np.full((3, 4, 5), np.nan, np.float32))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (flat, "2 axes, (3, 4); a volume has three"),
        (several, "4 axes, (3, 4, 5, 2); a volume has three"),
        (singular, "its affine is singular"),
        (cut, "cannot be read as NIfTI"),
        (lambda path: path.write_text("hello"), "cannot be read as NIfTI"),
        (unknown, "some voxels are no finite numbers"),
        (lambda path: None, "no such file"),
    ],
)
def test_what_cannot_be_read_is_named(make, message: str, tmp_path: Path) -> None:
    path = tmp_path / "x.nii"
    make(path)
    with pytest.raises(ValueError) as refused:
        read_volume(path)
    assert message in str(refused.value) and str(path) in str(refused.value)


@pytest.mark.parametrize(
    ("values", "message"), [([0, 0.5], "is 0.5"), ([0, 3, 7], "unknown label 3, 7"), ([-1, 0], "unknown label -1")]
)
def test_what_is_no_mask_is_named(values: list[float], message: str, tmp_path: Path) -> None:
    write(tmp_path / "mask.nii", np.resize(values, (2, 3, 4)).astype(np.float32))
    with pytest.raises(ValueError, match=message):
        read_labels(tmp_path / "mask.nii", 3)


def test_another_kind_of_file_is_never_opened(tmp_path: Path) -> None:
    (tmp_path / "x.pkl").write_bytes(b"anything")
    with pytest.raises(ValueError, match=r"not a NIfTI file by its name; it should end in \.nii"):
        read_header(tmp_path / "x.pkl")
