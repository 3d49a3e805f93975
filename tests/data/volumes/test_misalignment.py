"""Misalignment: known shifts and turns, the same for image and mask, in mm."""

from collections.abc import Sequence

import numpy as np
import pytest
from scipy.ndimage import center_of_mass

from fovea.data.volumes.misalignment import Misalignment

EVEN = (1.0, 1.0, 1.0)


def blob(shape: Sequence[int], spacing: Sequence[float], place: Sequence[float], width: float = 4.0) -> np.ndarray:
    """A Gaussian of `width` mm around a place in mm from the centre."""
    axes = [(np.arange(n) - (n - 1) / 2) * step for n, step in zip(shape, spacing, strict=True)]
    away = [axis - at for axis, at in zip(np.meshgrid(*axes, indexing="ij"), place, strict=True)]
    return np.exp(-sum(each**2 for each in away) / (2 * width**2)).astype(np.float32)


def place(volume: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """The centre of mass in mm from the centre of the grid."""
    return (np.array(center_of_mass(volume)) - (np.array(volume.shape) - 1) / 2) * spacing


def test_nothing_to_move_returns_the_volume_itself() -> None:
    volume = np.random.default_rng(0).normal(size=(4, 5, 6))
    assert Misalignment("mri").image(volume, EVEN, "a") is volume
    assert Misalignment("mri").mask(volume, EVEN, "a") is volume


@pytest.mark.parametrize("spacing", [(4.0, 1.0, 1.5), (1.0, 2.0, 6.0)])
def test_a_shift_has_its_length_in_mm(spacing: tuple[float, float, float]) -> None:
    shape = [round(80 / step) for step in spacing]
    moved = Misalignment("mri", shift=9.0).image(blob(shape, spacing, (0, 0, 0), 5.0), spacing, "a")
    assert np.linalg.norm(place(moved, spacing)) == pytest.approx(9.0, abs=0.1)


def test_directions_are_of_each_case_and_seed_and_lie_all_around() -> None:
    still = blob((31, 31, 31), EVEN, (0, 0, 0), 2.0)
    at = [place(Misalignment("mri", 6.0, seed=seed).image(still, EVEN, case), EVEN) for seed in (0, 1) for case in "ab"]
    assert len({tuple(each.round(1)) for each in at}) == 4
    many = np.array([place(Misalignment("mri", 6.0).image(still, EVEN, str(k)), EVEN) for k in range(40)])
    assert (many.min(axis=0) < -3).all() and (many.max(axis=0) > 3).all()


def test_greater_amounts_move_further_the_same_way() -> None:
    still = blob((41, 41, 41), EVEN, (0, 0, 0), 2.0)
    near, far = (place(Misalignment("mri", amount).image(still, EVEN, "a"), EVEN) for amount in (3.0, 9.0))
    np.testing.assert_allclose(far, 3 * near, atol=0.05)


def test_a_shift_of_whole_voxels_equals_a_roll(monkeypatch: pytest.MonkeyPatch) -> None:
    volume = np.zeros((6, 7, 8))
    volume[1:4, 2:5, 3:6] = np.random.default_rng(0).uniform(1, 2, (3, 3, 3))
    monkeypatch.setattr(np.random, "default_rng", lambda _: _Fixed([0.0, 2.0, 0.0]))
    moved = Misalignment("mri", shift=4.0).image(volume, (1.0, 2.0, 1.0), "a")
    np.testing.assert_allclose(moved, np.roll(volume, 2, axis=1), atol=1e-12)


class _Fixed:
    """A source of one direction and of turns to one side."""

    def __init__(self, direction: list[float]) -> None:
        self.direction = direction

    def standard_normal(self, _: int) -> np.ndarray:
        return np.array(self.direction)

    def choice(self, among: list[int]) -> int:
        return among[-1]


@pytest.mark.parametrize(("spacing", "plane"), [((3, 1, 1), (1, 2)), ((1, 3, 1), (0, 2)), ((1, 1, 1), (1, 2))])
def test_a_quarter_turn_is_of_the_plane_of_the_slices(
    spacing: tuple[float, float, float], plane: tuple[int, int]
) -> None:
    volume = np.random.default_rng(0).integers(0, 4, (7, 7, 7)).astype(np.uint8)
    turned = [np.rot90(volume, times, plane) for times in (1, 3)]
    for move in (Misalignment("mri", rotation=90.0).image, Misalignment("mri", rotation=90.0).mask):
        found = [[np.array_equal(move(volume, spacing, case), each) for each in turned] for case in "abcdef"]
        assert all(map(any, found))
        assert any(one for one, _ in found) and any(other for _, other in found)  # to either side


def test_a_turn_keeps_lengths_in_mm_where_pixels_are_oblong() -> None:
    spacing = (5.0, 1.0, 2.0)
    still = blob((15, 81, 41), spacing, (0, 20, 0), 3.0)
    turned = place(Misalignment("mri", rotation=90.0).image(still, spacing, "a"), spacing)
    np.testing.assert_allclose(np.abs(turned), (0, 0, 20), atol=0.1)


@pytest.mark.parametrize(("shift", "rotation"), [(5.0, 0.0), (0.0, 25.0), (5.0, 25.0)])
def test_image_and_mask_move_alike(shift: float, rotation: float) -> None:
    spacing = (4.0, 1.5, 1.0)
    image = blob((20, 50, 80), spacing, (4, -9, 6), 8.0)
    apart = Misalignment("mri", shift, rotation)
    moved, mask = apart.image(image, spacing, "a"), apart.mask((image > 0.5).astype(np.int16), spacing, "a")
    inside = moved > 0.5
    assert (moved.dtype, mask.dtype, mask.max()) == (np.float32, np.int16, 1)
    assert 2 * (inside & (mask > 0)).sum() / (inside.sum() + mask.sum()) > 0.93
    np.testing.assert_allclose(place(mask, spacing), place(inside, spacing), atol=0.5)
    assert np.linalg.norm(place(moved, spacing) - place(image, spacing)) > 3


def test_a_turn_and_its_like_the_other_way_cancel() -> None:
    image = blob((9, 41, 41), EVEN, (0, 8, -5), 3.0)
    angle = Misalignment("mri", rotation=30.0)
    other = next(
        case for case in "bcdefghij" if not np.allclose(*(angle.image(image, EVEN, each) for each in ("a", case)))
    )
    back = angle.image(angle.image(image, EVEN, "a"), EVEN, other)
    np.testing.assert_allclose(back, image, atol=0.05)


def test_what_comes_in_is_the_least_value_and_background() -> None:
    apart = Misalignment("ct", shift=1000.0)
    volume = np.random.default_rng(0).uniform(-900, 100, (5, 6, 7))
    assert (apart.image(volume, EVEN, "a") == volume.min()).all()
    assert (apart.mask(np.full((5, 6, 7), 3), EVEN, "a") == 0).all()


@pytest.mark.parametrize(
    "wrong", [{"shift": -1.0}, {"shift": float("nan")}, {"rotation": 181.0}, {"rotation": -1.0}, {"seed": -1}]
)
def test_amounts_without_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"^data\.misalignment: .*give a shift of 0 mm or more"):
        Misalignment("mri", **wrong)


@pytest.mark.parametrize(("shape", "spacing"), [((4, 4), EVEN), ((4, 4, 4), (1, 1)), ((4, 4, 4), (1, 0, 1))])
def test_other_than_volumes_with_a_spacing_are_refused(shape: tuple[int, ...], spacing: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="three of each are needed"):
        Misalignment("mri", 1.0).image(np.zeros(shape), spacing, "a")
