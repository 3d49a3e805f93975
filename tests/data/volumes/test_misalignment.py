"""Misalignment: shifts and turns of known amounts in mm, the same for image and mask."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import pytest
from scipy.ndimage import center_of_mass

from fovea.data.volumes.misalignment import Misalignment

EVEN = (1.0, 1.0, 1.0)


def misalignment(shift: float = 0.0, rotation: float = 0.0, seed: int = 0) -> Misalignment:
    return Misalignment(None, shift, rotation, seed)


def blob(shape: Sequence[int], spacing: Sequence[float], place: Sequence[float], width: float) -> np.ndarray:
    """Return a Gaussian of `width` mm around a place in mm from the center."""
    axes = [(np.arange(n) - (n - 1) / 2) * step for n, step in zip(shape, spacing, strict=True)]
    away = [axis - x for axis, x in zip(np.meshgrid(*axes, indexing="ij"), place, strict=True)]
    return np.exp(-sum(x**2 for x in away) / (2 * width**2)).astype(np.float32)


def place(volume: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """Return the center of mass in mm from the center of the grid."""
    return (np.array(center_of_mass(volume)) - (np.array(volume.shape) - 1) / 2) * spacing


@pytest.mark.parametrize("spacing", [(4.0, 1.0, 1.5), (1.0, 2.0, 6.0)])
def test_a_shift_has_its_length_in_mm(spacing: tuple[float, float, float]) -> None:
    shape = [round(80 / step) for step in spacing]
    moved = misalignment(9.0).move(blob(shape, spacing, (0, 0, 0), 5.0), spacing, "a")
    assert np.linalg.norm(place(moved, spacing)) == pytest.approx(9.0, abs=0.1)


def test_directions_depend_on_case_and_seed_and_not_on_the_amount() -> None:
    still = blob((41, 41, 41), EVEN, (0, 0, 0), 2.0)
    pairs = [(seed, case) for seed in (0, 1) for case in "ab"]
    few = {tuple(place(misalignment(6.0, seed=seed).move(still, EVEN, case), EVEN).round(1)) for seed, case in pairs}
    many = np.array([place(misalignment(6.0).move(still, EVEN, str(k)), EVEN) for k in range(40)])
    assert len(few) == 4
    assert (many.min(axis=0) < -3).all() and (many.max(axis=0) > 3).all()
    near, far = (place(misalignment(amount).move(still, EVEN, "a"), EVEN) for amount in (3.0, 9.0))
    np.testing.assert_allclose(far, 3 * near, atol=0.05)
    volume = np.random.default_rng(0).uniform(-900, 100, (5, 6, 7))
    for nearest in (False, True):
        assert misalignment().move(volume, EVEN, "a", nearest=nearest) is volume  # without amounts
    apart = misalignment(1000.0)  # voxels from outside are the lowest value or background
    assert (apart.move(volume, EVEN, "a") == volume.min()).all()
    assert (apart.move(np.full((5, 6, 7), 3), EVEN, "a", nearest=True) == 0).all()


@pytest.mark.parametrize(("spacing", "plane"), [((3, 1, 1), (1, 2)), ((1, 3, 1), (0, 2)), ((1, 1, 1), (1, 2))])
def test_a_quarter_turn_is_in_the_plane_of_the_slices(
    spacing: tuple[float, float, float], plane: tuple[int, int]
) -> None:
    volume = np.random.default_rng(0).integers(0, 4, (7, 7, 7)).astype(np.int16)
    turned = [np.rot90(volume, times, plane) for times in (1, 3)]
    for move in (misalignment(rotation=90.0).move, partial(misalignment(rotation=90.0).move, nearest=True)):
        sides = [[np.array_equal(move(volume, spacing, case), other) for other in turned] for case in "abcdef"]
        assert all(map(any, sides)) and all(map(any, zip(*sides, strict=True)))  # to either side


def test_a_turn_keeps_lengths_in_mm() -> None:
    spacing = (5.0, 1.0, 2.0)
    still = blob((15, 81, 41), spacing, (0, 20, 0), 3.0)
    turned = place(misalignment(rotation=90.0).move(still, spacing, "a"), spacing)
    np.testing.assert_allclose(np.abs(turned), (0, 0, 20), atol=0.1)


@pytest.mark.parametrize(("shift", "rotation"), [(5.0, 0.0), (0.0, 25.0), (5.0, 25.0)])
def test_image_and_mask_move_together(shift: float, rotation: float) -> None:
    spacing = (4.0, 1.5, 1.0)
    image = blob((20, 50, 80), spacing, (4, -9, 6), 8.0)
    apart = misalignment(shift, rotation)
    moved, mask = apart.move(image, spacing, "a"), apart.move((image > 0.5).astype(np.int16), spacing, "a", True)
    inside = moved > 0.5
    assert (moved.dtype, mask.dtype, mask.max()) == (np.float32, np.int16, 1)
    assert 2 * (inside & (mask > 0)).sum() / (inside.sum() + mask.sum()) > 0.93
    assert np.linalg.norm(place(moved, spacing) - place(image, spacing)) > 3
