"""The permutohedral lattice filters with a Gaussian, in both implementations."""

import numpy as np
import pytest
import torch

from fovea.prepare.refiners.densecrf import lattice_torch
from fovea.prepare.refiners.densecrf.lattice import Lattice
from fovea.prepare.refiners.densecrf.permutohedral import embed


def gaussian(image: np.ndarray, sxy: float, srgb: float) -> np.ndarray:
    """The full kernel that the lattice approximates, [H * W, H * W]."""
    height, width, _ = image.shape
    position = np.stack(np.mgrid[:height, :width], axis=-1).reshape(-1, 2) / sxy
    features = np.concatenate([position, image.reshape(-1, 3) / srgb], axis=1)
    return np.exp(-((features[:, None] - features) ** 2).sum(axis=2) / 2)


def smooth(height: int, width: int) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    waves = [np.sin(rows / 9 + phase) + np.cos(columns / 7 - phase) for phase in range(3)]
    return (128 + 40 * np.stack(waves, axis=-1)).astype(np.uint8)


def test_filters_with_gaussian() -> None:
    image = smooth(30, 40)
    kernel = gaussian(image, 10.0, 20.0)
    values = np.random.default_rng(0).random(kernel.shape[0], np.float32)
    lattice = Lattice(image, 10.0, 20.0)
    ours = lattice.filter(values) / lattice.filter(np.ones_like(values))
    exact = (kernel @ values) / kernel.sum(axis=1)
    assert np.corrcoef(ours, exact)[0, 1] > 0.97
    assert np.abs(ours - exact).max() < 0.2 * np.ptp(values)


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (257, 256), (240, 320)])
def test_implementations_agree_on_noise(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (*size, 3), np.uint8)  # nearly every pixel has its own simplex: tables grow
    values = rng.random(size[0] * size[1], np.float32)
    theirs = lattice_torch.Lattice(image, 80.0, 13.0, torch.device("cpu")).filter(torch.from_numpy(values)).numpy()
    np.testing.assert_allclose(Lattice(image, 80.0, 13.0).filter(values), theirs, rtol=1e-4, atol=1e-5)


def test_one_color_needs_few_vertices() -> None:
    assert Lattice(np.full((200, 300, 3), 77, np.uint8), 80.0, 13.0).vertices < 300


def test_filter_is_linear_and_keeps_input() -> None:
    one, other = np.random.default_rng(2).random((2, 2000), np.float32)
    before = one.copy()
    lattice = Lattice(smooth(40, 50), 80.0, 13.0)
    both = lattice.filter(one) + 2 * lattice.filter(other)
    np.testing.assert_allclose(lattice.filter(one + 2 * other), both, rtol=1e-4)
    np.testing.assert_array_equal(one, before)


def test_keys_are_unique() -> None:
    embedding = embed(529, 622, 80.0, 13.0)
    highest = embedding.across[-1] + embedding.down[-1] + embedding.shade[-1].sum()
    points = np.random.default_rng(3).integers(-20, int(highest), (100_000, 5))
    inside = points[(points @ embedding.radix + embedding.offset) >= 0]
    keys = inside @ embedding.radix + embedding.offset
    assert len(np.unique(keys)) >= len(np.unique(inside, axis=0)) * 0.999
    assert len(embedding.steps()) == 6 and embedding.steps().sum() == 0
