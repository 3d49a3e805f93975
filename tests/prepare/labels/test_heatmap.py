"""The heatmap against a naive implementation with SciPy."""

import cv2
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from fovea.prepare.labels.heatmap import heatmap


def plain(x, y, duration, size, canvas, sigma) -> np.ndarray:
    """Draw point by point on the canvas, then filter the whole canvas."""
    board = np.zeros((canvas, canvas))
    for px, py, ms in zip(x, y, duration, strict=True):
        board[max(round(canvas * py) - 1, 0), max(round(canvas * px) - 1, 0)] += ms
    board = gaussian_filter(board, sigma)
    board = (board - board.min()) / (board.max() - board.min())
    return np.clip(cv2.resize(board, size[::-1], interpolation=cv2.INTER_CUBIC), 0, 1)


def drawn(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(count)
    return rng.random(count), rng.random(count), rng.uniform(50, 500, count)


@pytest.mark.parametrize("count", [1, 2, 30, 400])
@pytest.mark.parametrize(("canvas", "sigma"), [(96, 9.0), (64, 40.0), (97, 1.5)])
def test_equals_plain_filter(count: int, canvas: int, sigma: float) -> None:
    ours = heatmap(*drawn(count), (50, 70), canvas, sigma)
    np.testing.assert_allclose(ours, plain(*drawn(count), (50, 70), canvas, sigma), atol=1e-5)


def test_half_pixel_rounds_to_even() -> None:
    halves = (np.array([2.5, 3.5]) / 8, np.array([0.5, 0.5]), np.array([100.0, 100.0]))
    np.testing.assert_allclose(heatmap(*halves, (8, 8), 8, 0.5), plain(*halves, (8, 8), 8, 0.5), atol=1e-6)


@pytest.mark.parametrize(
    ("points", "sigma"),
    [(([], [], []), 4.0), (([0.5], [0.5], [0.0]), 4.0), (([0.5], [0.5], [100.0]), 1e4)],
    ids=["no fixation", "no duration", "flat"],
)
def test_flat_heat_gives_zeros(points, sigma: float) -> None:
    np.testing.assert_array_equal(heatmap(*map(np.array, points), (9, 8), 16, sigma), np.zeros((9, 8)))


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (([0.1, 0.2], [0.1], [100.0]), "one length, got 2, 1 and 1"),
        (([310.0], [0.1], [100.0]), r"x must be in \[0, 1\], got 310"),  # pixels
        (([0.1], [np.nan], [100.0]), r"y must be in \[0, 1\], got nan"),
        (([0.1, 0.2], [0.1, 0.2], [100.0, -1.0]), "duration must be finite and at least 0, got -1"),
        (([0.1], [0.1], [np.inf]), "duration must be finite and at least 0, got inf"),
    ],
)
def test_other_values_are_refused(points, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        heatmap(*points, (4, 4))
