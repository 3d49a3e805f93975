"""A mask and its volume are on one grid, or the mask is refused, at any size and orientation."""

import math
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from fovea.data.volumes.grid import difference
from fovea.data.volumes.nifti import read_header

SHAPE, SIDES = (512, 300, 20), (0.25, 0.25, 2.0)


def about_center(
    shape: Sequence[int] = SHAPE, sides: Sequence[float] = SIDES, degrees: float = 0.0, shift: float = 0.0
) -> np.ndarray:
    """Return the affine of a grid about one center, turned in its slices; `shift` in voxels along the first axis."""
    angle = math.radians(degrees)
    turn = np.array([[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1]])
    matrix = turn * sides
    return nib.affines.from_matvec(matrix, (10, -20, 30) - matrix @ ((np.array(shape) - 1) / 2 - (shift, 0, 0)))


def compared(folder: Path, mask: np.ndarray, volume: np.ndarray, shape: Sequence[int] = SHAPE, code: str = "s") -> str:
    for name, affine in (("mask", mask), ("volume", volume)):
        image = nib.Nifti1Image(np.zeros(shape, np.uint8), affine)
        if name == "mask" and code == "q":  # directions as a quaternion of float32
            image.set_sform(None, 0)
            image.set_qform(affine, 1)
        nib.save(image, folder / f"{name}.nii")
    return difference(read_header(folder / "mask.nii"), read_header(folder / "volume.nii"))


@pytest.mark.parametrize("degrees", [0.0, 4.0, 130.0])
@pytest.mark.parametrize("code", ["s", "q"])
def test_one_grid_is_accepted(degrees: float, code: str, tmp_path: Path) -> None:
    affine = about_center(degrees=degrees)
    noise = 1 + 1e-6 * np.random.default_rng(0).standard_normal((4, 4))
    assert compared(tmp_path, affine * noise, affine, code=code) == ""
    assert compared(tmp_path, about_center(sides=(0.25, 0.25, 2.01), degrees=degrees), affine, code=code) == ""
    turned = affine @ nib.orientations.inv_ornt_aff([[0, -1], [1, 1], [2, -1]], SHAPE)
    assert compared(tmp_path, turned, affine, code=code) == ""  # stored the other way round, at the same place


def mirrored() -> np.ndarray:
    affine = about_center()
    affine[0, 0] *= -1
    return affine


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (mirrored(), "up to 511 voxels away"),
        (about_center(shift=0.5), "up to 0.5 voxels away"),
        (about_center(degrees=3), "other directions"),
        (about_center(degrees=0.5), "up to 2.2"),
        (about_center(sides=(0.25, 0.26, 2.0)), "voxels of 0.25 x 0.26 x 2 mm, but those of its volume have 0.25 x 0."),
        (about_center(sides=(0.251, 0.25, 2.0)), "up to 1.02 voxels away"),
    ],
)
def test_another_grid_is_refused(mask: np.ndarray, message: str, tmp_path: Path) -> None:
    assert message in compared(tmp_path, mask, about_center())


@pytest.mark.parametrize("change", [{"degrees": 3.0}, {"sides": (0.25, 0.25, 3.0)}, {"sides": (0.26, 0.25, 2.0)}])
def test_few_voxels_are_compared_as_strictly(change: dict, tmp_path: Path) -> None:
    shape = (2, 2, 1)
    assert compared(tmp_path, about_center(shape, **change), about_center(shape), shape)
    assert not compared(tmp_path, about_center(shape), about_center(shape), shape)
