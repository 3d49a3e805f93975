"""NIfTI files: one orientation, headers read right or refused in one line, masks on the voxels of their volume."""

import gzip
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations, product
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from fovea.data.volumes import nifti
from fovea.data.volumes.nifti import read_header, read_labels, read_map, read_volume, write_voxels

from .conftest import patch, write

VOXELS = np.arange(24, dtype=np.int16).reshape(2, 3, 4)


@pytest.mark.parametrize("code", ["sform", "qform"])
def test_all_48_orientations_are_read_and_written_exactly(code: str, tmp_path: Path) -> None:
    path, out = tmp_path / "volume.nii.gz", tmp_path / "out" / "labels.nii.gz"
    for axes, signs in product(permutations(range(3)), product((1, -1), repeat=3)):
        stored = VOXELS.transpose(axes)[tuple(slice(None, None, sign) for sign in signs)]
        affine = np.diag([0.0, 0.0, 0.0, 1.0])
        affine[:3, 3] = 5, 6, 7
        for column, (axis, sign) in enumerate(zip(axes, signs, strict=True)):
            affine[axis, column] = sign * (1.5, 2.0, 3.0)[axis]
        image = nib.Nifti1Image(stored, affine)
        image.set_sform(affine, code=int(code == "sform"))
        image.set_qform(affine, code=int(code == "qform"))
        nib.save(image, path)
        header, volume = read_header(path), read_volume(path)
        assert header.shape == volume.shape == (2, 3, 4) and header.spacing == pytest.approx((1.5, 2, 3))
        assert volume.dtype == np.float32 and np.array_equal(volume, VOXELS)
        write_voxels(out, VOXELS.astype(np.uint8), path)
        written = nib.load(out)
        assert np.array_equal(written.dataobj, stored) and np.array_equal(
            read_labels(out, dict(enumerate(range(24)))), VOXELS
        )
        np.testing.assert_array_equal(written.affine, nib.load(path).affine)
    first = out.read_bytes()
    write_voxels(out, VOXELS.astype(np.uint8), path)
    assert out.read_bytes() == first


@pytest.mark.parametrize("made", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize(("qform", "sform"), [(0, 0), (1, 0), (0, 2), (2, 2), (1, 4), (3, 1)])
def test_a_mask_repeats_codes_and_affines_as_found(qform: int, sform: int, made: Any, tmp_path: Path) -> None:
    """Viewers choose between the two affines, and read a header with neither, in different ways."""
    turn = nib.eulerangles.euler2mat(0.2, -0.1, 0.3) @ np.diag([-1.0, 1.0, 1.0])
    places = [nib.affines.from_matvec(matrix * (1.2, 0.8, 3.0), (5, -6, 7)) for matrix in (turn, np.eye(3))]
    image = made(VOXELS, None)
    image.header.set_zooms((1.2, 0.8, 3.0))
    image.header.set_qform(places[0], qform)
    image.header.set_sform(places[1] if qform != sform else places[0], sform)
    image.header["xyzt_units"], image.header["cal_max"], image.header["descrip"] = 10, 400, b"a name"
    nib.save(image, tmp_path / "x.nii")
    write_voxels(tmp_path / "mask.nii", (read_volume(tmp_path / "x.nii") > 11).astype(np.uint8), tmp_path / "x.nii")
    found, written = nib.load(tmp_path / "x.nii").header, nib.load(tmp_path / "mask.nii").header
    assert type(written) is type(found) and (written["qform_code"], written["sform_code"]) == (qform, sform)
    for field in nifti.PLACE:
        np.testing.assert_array_equal(written[field], found[field])
    assert (written["cal_max"], written["descrip"], written.get_data_dtype()) == (0, b"", np.uint8)
    assert np.array_equal(nib.load(tmp_path / "mask.nii").dataobj, VOXELS > 11)


@pytest.mark.parametrize(
    ("fields", "sides"),
    [
        ({"xyzt_units": 3}, (0.002, 0.003, 0.004)),  # micron
        ({"xyzt_units": 2}, (2, 3, 4)),
        (
            {"xyzt_units": 1, "srow_x": [0.002, 0, 0, 0], "srow_y": [0, 0.003, 0, 0], "srow_z": [0, 0, 0.004, 0]},
            (2, 3, 4),
        ),
        ({"xyzt_units": 2, "srow_y": [0, 3, 2.4, 0], "srow_z": [0, 0, 3.2, 0]}, (2, 3, 4)),  # a tilted gantry
        ({"xyzt_units": 0}, (2, 3, 4)),
    ],
)
def test_lengths_are_in_mm(fields: dict, sides: tuple, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path / "x.nii", VOXELS, (2.0, 3.0, 4.0))
    patch(tmp_path / "x.nii", **fields)
    nifti._said.clear()
    with caplog.at_level(logging.INFO), ThreadPoolExecutor(4) as pool:
        headers = [*pool.map(read_header, [tmp_path / "x.nii"] * 8)]
    tilted = fields.get("srow_z") == [0, 0, 3.2, 0]
    assert all(header.spacing == pytest.approx(sides) for header in headers)
    assert all(header.voxel == pytest.approx(np.prod(sides) * (0.8 if tilted else 1)) for header in headers)
    assert caplog.text.count("are taken as mm") == (fields["xyzt_units"] == 0)
    assert caplog.text.count("axes are not perpendicular") == tilted


@pytest.mark.parametrize(
    ("slope", "inter", "factor", "offset"),
    [
        (0.5, 3.0, 0.5, 3.0),
        (-2.0, 0.0, -2.0, 0.0),
        (0.0, 7.0, 1.0, 0.0),
        (np.nan, 7.0, 1.0, 0.0),
        (1.0, -1024, 1, -1024),
    ],
)
def test_voxels_are_scaled(slope: float, inter: float, factor: float, offset: float, tmp_path: Path) -> None:
    write(tmp_path / "x.nii", VOXELS)
    patch(tmp_path / "x.nii", scl_slope=slope, scl_inter=inter)
    np.testing.assert_array_equal(read_volume(tmp_path / "x.nii"), VOXELS * factor + offset)


def test_files_that_differ_in_form_alone_are_read(tmp_path: Path) -> None:
    write(tmp_path / "four.nii", VOXELS[..., None])
    write(tmp_path / "x.nii", VOXELS)
    content = (tmp_path / "x.nii").read_bytes()
    (tmp_path / "members.nii.gz").write_bytes(gzip.compress(content[:300]) + gzip.compress(content[300:]))
    (tmp_path / "LOUD.NII.GZ").write_bytes(gzip.compress(content))
    header = nib.Nifti1Header(endianness=">")
    header.set_data_dtype(">i2")
    nib.save(nib.Nifti1Image(VOXELS, np.diag([-2.0, 3, 4, 1]), header), tmp_path / "big_endian.nii")
    assert (tmp_path / "big_endian.nii").read_bytes()[:4] == b"\x00\x00\x01\x5c"
    for name in ("four.nii", "members.nii.gz", "LOUD.NII.GZ", "big_endian.nii"):
        found = read_volume(tmp_path / name)
        np.testing.assert_array_equal(found, VOXELS[::-1] if name == "big_endian.nii" else VOXELS)
        write_voxels(tmp_path / "mask.nii", found, tmp_path / name)
        assert np.array_equal(nib.load(tmp_path / "mask.nii").dataobj, VOXELS)
        assert np.array_equal(read_header(tmp_path / "mask.nii").affine, read_header(tmp_path / name).affine)


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_values_become_classes(dtype: type, tmp_path: Path) -> None:
    write(tmp_path / "mask.nii", np.resize([0, 600, 200, 500], (2, 3, 4)).astype(dtype))
    labels = read_labels(tmp_path / "mask.nii", {0: 0, 200: 1, 500: 2, 600: 3})
    assert labels.dtype == np.int16 and labels.tolist() == np.resize([0, 3, 1, 2], (2, 3, 4)).tolist()


@pytest.mark.parametrize("ignore_label", [255, 4, -1])
def test_ignored_values_become_minus_one(ignore_label: int, tmp_path: Path) -> None:
    values = np.resize([0, 1, ignore_label, 2, ignore_label], (2, 3, 4)).astype(np.int16)
    write(tmp_path / "mask.nii", values)
    labels = read_labels(tmp_path / "mask.nii", {0: 0, 1: 1, 2: 2}, ignore_label)
    naive = [-1 if value == ignore_label else value for value in values.ravel()]
    assert labels.ravel().tolist() == naive


def altered(**fields: Any) -> Callable[[Path], None]:
    """Return a function that writes a sound volume, then changes fields of its header."""

    def make(path: Path) -> None:
        write(path, VOXELS, (2.0, 3.0, 4.0))
        patch(path, **fields)

    return make


def with_lost_slices(path: Path) -> None:
    write(path, np.zeros((32, 32, 65), np.int16))
    patch(path, dim=[3, 32, 32, 32, 1, 1, 1, 1])


def cut(path: Path) -> None:
    write(path, VOXELS)
    path.write_bytes(path.read_bytes()[:390])


def cut_while_copied(path: Path) -> None:
    write(path, np.random.default_rng(0).integers(0, 999, (32, 32, 8)).astype(np.int16))
    path.with_suffix(".nii.gz").write_bytes(gzip.compress(path.read_bytes())[:9000])
    path.unlink()


def changed_body(path: Path) -> None:
    write(path, np.zeros((32, 32, 32), np.int16))
    content = bytearray(gzip.compress(path.read_bytes(), 0))  # not compressed, so that a flipped bit is a valid voxel
    content[-20] ^= 4
    path.write_bytes(content)
    path.rename(path.with_suffix(".nii.gz"))


NO_ROWS = {"srow_x": [0] * 4, "srow_y": [0] * 4, "srow_z": [0] * 4}
HUGE = [3, 30000, 30000, 30000, 1, 1, 1, 1]
RGB = np.zeros((2, 3, 4), [("R", "u1"), ("G", "u1"), ("B", "u1")])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: write(path, VOXELS[0]), "shape (3, 4)"),
        (lambda path: write(path, np.zeros((2, 3, 4, 2), np.float32)), "shape (2, 3, 4, 2)"),
        (lambda path: write(path, np.zeros((2, 3, 4, 1, 3), np.float32)), "shape (2, 3, 4, 1, 3)"),
        (lambda path: write(path, RGB), "its voxels are colors; save one number"),
        (lambda path: write(path, np.zeros((2, 3, 4), np.complex64)), "its voxels are complex numbers"),
        (altered(intent_code=1007), "its voxels are vectors"),
        (altered(intent_code=1006), "its voxels are vectors"),
        (altered(dim=HUGE), "its header announces 54000000000352 bytes, but it has 400"),
        (altered(dim=[3, -2, 3, 4, 1, 1, 1, 1]), "shape (-2, 3, 4)"),
        (altered(datatype=2), "bitpix is 16, but its datatype has 8 bits"),
        (altered(datatype=3), "cannot decode {}: "),
        (altered(**NO_ROWS), "singular affine"),
        (altered(srow_x=[np.nan] * 4), "singular affine"),
        (altered(sform_code=77), "sform_code is 77"),
        (altered(sform_code=0, pixdim=[1, 0, 3, 4, 0, 0, 0, 0]), "pixdim is [1.0, 0.0, 3.0, 4.0]"),
        (altered(sform_code=0, pixdim=[-0.5, 2, 3, 4, 0, 0, 0, 0]), "pixdim is [-0.5, 2.0"),
        (altered(xyzt_units=5), "xyzt_units is 5"),
        (altered(xyzt_units=1), "voxels of 2000 x 3000 x 4000 mm; fix the affine or the unit"),
        (altered(srow_x=[0.001, 0, 0, 0]), "voxels of 0.001 x 3 x 4 mm"),
        (altered(scl_slope=np.inf), "scl_slope is infinite"),
        (altered(scl_slope=2, scl_inter=np.nan), "cannot decode {}: "),
        (with_lost_slices, "its header announces 65888 bytes, but it has 133472"),
        (cut, "its header announces 400 bytes, but it has 390"),
        (cut_while_copied, "cannot decode {}: Compressed file ended"),
        (changed_body, "cannot decode {}: CRC check failed"),
        (lambda path: path.write_text("hello"), "cannot decode {}: "),
        (lambda path: write(path, np.full((2, 3, 4), np.nan, np.float32)), "not finite"),
        (lambda path: write(path, np.full((2, 3, 4), 1e300)), "not finite"),
        (lambda path: None, "cannot read {}: no such file"),
        (lambda path: path.with_suffix(".pkl").write_text("not opened"), "not a NIfTI file; its name must end in .nii"),
    ],
)
def test_an_invalid_volume_is_refused_in_one_line(make: Callable, message: str, tmp_path: Path) -> None:
    make(tmp_path / "x.nii")
    path = next(tmp_path.iterdir(), tmp_path / "x.nii")
    with pytest.raises(ValueError) as refused:
        read_volume(path)
    assert f"{path}: " in str(refused.value) and message.replace("{}", str(path)) in str(refused.value)
    assert "\n" not in str(refused.value)
    if path.suffix == ".nii" and path.exists():
        zipped = path.with_name("x.nii.gz")
        zipped.write_bytes(gzip.compress(path.read_bytes()))
        with pytest.raises(ValueError, match=r"x\.nii\.gz: "):
            read_volume(zipped)


@pytest.mark.parametrize(
    ("values", "message"),
    [([0, 0.5], "got 0.5"), ([0, np.nan], "got nan"), ([0, 3, 7], "unknown label 3, 7"), ([-1, 0], "unknown label -1")],
)
def test_an_invalid_mask_is_refused(values: list[float], message: str, tmp_path: Path) -> None:
    write(tmp_path / "mask.nii", np.resize(values, (2, 3, 4)).astype(np.float32))
    with pytest.raises(ValueError, match=message):
        read_labels(tmp_path / "mask.nii", {0: 0, 1: 1, 2: 2})


@pytest.mark.parametrize(("dtype", "highest"), [(np.uint8, 3), (np.uint8, 13), (np.int8, 4), (np.int16, 5)])
def test_a_mask_that_is_scaled_to_its_labels_has_them(dtype: type, highest: int, tmp_path: Path) -> None:
    labels = np.resize(np.arange(highest + 1), (2, 3, 4))
    image = nib.Nifti1Image(labels.astype(np.float64), np.eye(4))
    image.set_data_dtype(dtype)  # nibabel chooses a scale, so that a label is off by up to half a step
    nib.save(image, tmp_path / "mask.nii")
    stored = np.asarray(nib.load(tmp_path / "mask.nii").dataobj)
    assert not np.array_equal(stored, labels) and np.abs(stored - labels).max() < 0.03
    known = {label: label for label in range(highest + 1)}
    np.testing.assert_array_equal(read_labels(tmp_path / "mask.nii", known), labels)
    image = nib.Nifti1Image(labels / highest, np.eye(4))
    image.set_data_dtype(dtype)
    nib.save(image, tmp_path / "map.nii")
    with pytest.raises(ValueError, match=r"whole numbers, got 0\.\d+; save labels, not probabilities"):
        read_labels(tmp_path / "map.nii", known)


def test_a_map_is_in_0_to_1(tmp_path: Path) -> None:
    values = np.linspace(0, 1, 24, dtype=np.float32).reshape(2, 3, 4)
    write(tmp_path / "map.nii", values)
    np.testing.assert_array_equal(read_map(tmp_path / "map.nii"), values)
    write(tmp_path / "map.nii", 255 * values)
    with pytest.raises(ValueError, match=r"\[0, 1\], got values from 0 to 255"):
        read_map(tmp_path / "map.nii")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_500_mutations_are_read_or_refused_in_one_line(
    suffix: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    sound, path, out = tmp_path / "sound.nii", tmp_path / f"x{suffix}", tmp_path / "out.nii"
    write(sound, np.random.default_rng(0).integers(0, 3, (6, 5, 4)).astype(np.int16), (2.0, 3.0, 4.0))
    expected, counts = read_volume(sound), {"equal": 0, "other": 0, "refused": 0}
    for number in range(500):
        rng, content = np.random.default_rng(number), bytearray(sound.read_bytes())
        if compressed := suffix == ".nii.gz" and number % 2 == 1:
            content = mutated(bytearray(gzip.compress(content)), rng)
        else:
            content = mutated(content, rng)
            content = bytearray(gzip.compress(content)) if suffix == ".nii.gz" else content
        path.write_bytes(content)
        try:
            read_header(path)
            volume = read_volume(path)
            write_voxels(out, np.zeros(volume.shape, np.uint8), path)
            assert nib.load(out).shape == nib.load(path).shape[:3]
            read_labels(path, {0: 0, 1: 1, 2: 2})
            assert not compressed or np.array_equal(volume, expected)  # a gzip file has a checksum
            counts["equal" if np.array_equal(volume, expected) else "other"] += 1
        except ValueError as error:
            assert f"{path}: " in str(error) and "\n" not in str(error)
            counts["refused"] += 1
    record_property("counts", counts)
    assert counts["refused"] > 50 and counts["equal"] > 50, counts


def mutated(content: bytearray, rng: np.random.Generator) -> bytearray:
    """Return bytes with some changed (mostly of the header), cut off, or inserted."""
    kind, place = rng.integers(6), int(rng.integers(len(content)))
    if kind == 0:
        return content[:place]
    if kind == 1:
        return content[:place] + rng.bytes(int(rng.integers(1, 40))) + content[place:]
    for _ in range(rng.integers(1, 4)):
        end = len(content) if kind == 2 else min(348, len(content))
        content[int(rng.integers(end))] = int(rng.choice([0, 1, 127, 128, 255, rng.integers(256)]))
    return content
