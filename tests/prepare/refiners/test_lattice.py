"""The permutohedral lattice: it filters with a Gaussian, whatever the size of its tables."""

import numpy as np
import pytest
import torch

from fovea.prepare.refiners.densecrf import lattice_torch
from fovea.prepare.refiners.densecrf.lattice import Lattice
from fovea.prepare.refiners.densecrf.permutohedral import embed


def gaussian(image: np.ndarray, sxy: float, srgb: float) -> np.ndarray:
    """The kernel that the lattice stands for, in full: [H * W, H * W]."""
    height, width, _ = image.shape
    rows, columns = np.mgrid[:height, :width]
    place = np.stack([rows, columns], axis=-1).reshape(-1, 2) / sxy
    features = np.concatenate([place, image.reshape(-1, 3) / srgb], axis=1)
    squared = ((features[:, None] - features) ** 2).sum(axis=2)
    return np.exp(-squared / 2)


def smooth(height: int, width: int) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    waves = [np.sin(rows / 9 + phase) + np.cos(columns / 7 - phase) for phase in range(3)]
    return (128 + 40 * np.stack(waves, axis=-1)).astype(np.uint8)


def test_it_filters_with_a_gaussian_of_position_and_colour() -> None:
    image = smooth(30, 40)
    kernel = gaussian(image, 10.0, 20.0)
    values = np.random.default_rng(0).random(kernel.shape[0], np.float32)
    lattice = Lattice(image, 10.0, 20.0)
    ours = lattice.filter(values) / lattice.filter(np.ones_like(values))
    exact = (kernel @ values) / kernel.sum(axis=1)
    assert np.corrcoef(ours, exact)[0, 1] > 0.97
    assert np.abs(ours - exact).max() < 0.2 * np.ptp(values)


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (257, 256), (240, 320)])
def test_both_implementations_agree_on_noise(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (*size, 3), np.uint8)  # nearly every pixel has a simplex of its own: tables grow
    values = rng.random(size[0] * size[1], np.float32)
    ours = Lattice(image, 80.0, 13.0)
    theirs = lattice_torch.Lattice(image, 80.0, 13.0, torch.device("cpu"))
    expected = theirs.filter(torch.from_numpy(values)).numpy()
    np.testing.assert_allclose(ours.filter(values), expected, rtol=1e-4, atol=1e-5)


def test_one_colour_needs_few_vertices() -> None:
    lattice = Lattice(np.full((200, 300, 3), 77, np.uint8), 80.0, 13.0)
    assert lattice.vertices < 300


def test_filtering_is_linear_and_leaves_its_input() -> None:
    image = smooth(40, 50)
    rng = np.random.default_rng(2)
    one, other = rng.random((2, 2000), np.float32)
    before = one.copy()
    lattice = Lattice(image, 80.0, 13.0)
    np.testing.assert_allclose(
        lattice.filter(one + 2 * other), lattice.filter(one) + 2 * lattice.filter(other), rtol=1e-4
    )
    np.testing.assert_array_equal(one, before)


def test_a_key_names_one_point_only() -> None:
    embedding = embed(529, 622, 80.0, 13.0)
    rng = np.random.default_rng(3)
    highest = embedding.across[-1] + embedding.down[-1] + embedding.shade[-1].sum()
    points = rng.integers(-20, int(highest), (100_000, 5))
    inside = points[(points @ embedding.radix + embedding.offset) >= 0]
    keys = inside @ embedding.radix + embedding.offset
    assert len(np.unique(keys)) >= len(np.unique(inside, axis=0)) * 0.999
    assert len(embedding.steps()) == 6
    assert embedding.steps().sum() == 0
