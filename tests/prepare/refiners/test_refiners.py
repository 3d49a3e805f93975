"""GrabCut and the guided filter, compared with their definitions."""

import numpy as np
import pytest

from fovea.prepare.refiners.grabcut import GrabCut
from fovea.prepare.refiners.guided import Guided
from fovea.runtime.config import instantiate

DISC = np.hypot(*(np.mgrid[:80, :100] - np.array([40, 50])[:, None, None])) < 20
IMAGE = np.where(DISC[..., None], (200, 90, 80), (60, 50, 40)).astype(np.float64)
IMAGE = (IMAGE + np.random.default_rng(0).normal(0, 5, IMAGE.shape)).clip(0, 255).astype(np.uint8)
# A blob that is too wide, and beside the disc.
LOOSE = np.exp(-((np.mgrid[:80, :100] - np.array([44, 46])[:, None, None]) ** 2).sum(axis=0) / 900).astype(np.float32)
CUT = GrabCut(iterations=2, background=0.1, foreground=0.9)


def overlap(target: np.ndarray) -> float:
    return 2 * (target & DISC).sum() / (target.sum() + DISC.sum())


def test_grabcut_finds_disc() -> None:
    after = GrabCut(3, 0.1, 0.9)(IMAGE, LOOSE)
    assert set(np.unique(after)) == {0, 1}
    assert overlap(LOOSE >= 0.5) < 0.9 < 0.97 < overlap(after >= 0.5)


def test_grabcut_at_a_smaller_size() -> None:
    large, loose = IMAGE.repeat(4, axis=0).repeat(4, axis=1), LOOSE.repeat(4, axis=0).repeat(4, axis=1)
    after = GrabCut(3, 0.1, 0.9, side=100)(large, loose)
    assert set(np.unique(after)) == {0, 1}
    assert (after != GrabCut(3, 0.1, 0.9)(IMAGE, LOOSE).repeat(4, axis=0).repeat(4, axis=1)).mean() < 0.01
    np.testing.assert_array_equal(GrabCut(3, 0.1, 0.9, side=100)(IMAGE, LOOSE), GrabCut(3, 0.1, 0.9)(IMAGE, LOOSE))
    loose[3, 3:300] = 0.95  # a stroke of one pixel on the background, which is lost in a smaller image
    after = GrabCut(3, 0.1, 0.9, side=100)(large, loose)
    assert after[loose >= 0.9].min() == 1 and after[loose <= 0.1].max() == 0


def test_grabcut_keeps_certain_pixels() -> None:
    sure = LOOSE.copy()
    sure[DISC], sure[:5] = 0.05, 0.95
    after = CUT(IMAGE, sure)
    assert after[DISC].max() == 0 and after[:5].min() == 1


def test_grabcut_starts_unlabeled_pixels_as_the_nearest_label() -> None:
    strokes = np.full(DISC.shape, 0.5, np.float32)
    strokes[38:42, 40:60], strokes[5], strokes[75] = 1, 0, 0
    assert overlap(GrabCut(3, 0.1, 0.9)(IMAGE, strokes) >= 0.5) > 0.97
    start = GrabCut(0, 0.1, 0.9)(IMAGE, strokes)
    assert start[20, 50] == 0 and start[25, 50] == 1
    one_side = np.where(strokes == 0, np.float32(0), np.float32(0.5))
    assert GrabCut(0, 0.1, 0.9)(IMAGE, one_side).max() == 0


@pytest.mark.parametrize(("key", "value"), [("background", 0.5), ("foreground", 0.5), ("iterations", 1.5)])
def test_grabcut_bounds(key: str, value: float) -> None:
    numbers = {"iterations": 2, "background": 0.1, "foreground": 0.9, key: value}
    with pytest.raises(ValueError, match=f"refine.{key} must be .*, got {value}"):
        instantiate({"_target_": "fovea.prepare.refiners.grabcut.GrabCut", **numbers}, "refine")


def test_guided_filter_by_definition() -> None:
    """Average the linear models of all windows around a pixel, far from the border."""
    radius, epsilon = 2, 0.01
    guide = IMAGE[..., :1].repeat(3, axis=2)[20:34, 20:34]  # one channel: its own gray image
    target = LOOSE[20:34, 20:34]
    intensity = guide[..., 0] / 255
    slopes, shifts = [], []
    for row in range(5, 10):
        for column in range(5, 10):
            window = (slice(row - radius, row + radius + 1), slice(column - radius, column + radius + 1))
            covariance = np.mean(intensity[window] * target[window]) - intensity[window].mean() * target[window].mean()
            slopes.append(covariance / (intensity[window].var() + epsilon))
            shifts.append(target[window].mean() - slopes[-1] * intensity[window].mean())
    expected = np.mean(slopes) * intensity[7, 7] + np.mean(shifts)
    np.testing.assert_allclose(Guided(radius, epsilon)(guide, target)[7, 7], expected, atol=1e-6)


def test_guided_filter_keeps_constant_map() -> None:
    constant = np.full(DISC.shape, 0.3, np.float32)
    np.testing.assert_allclose(Guided(60, 1e-3)(IMAGE, constant), 0.3, atol=1e-6)


def test_guided_filter_sharpens_edge() -> None:
    after = Guided(30, 1e-3)(IMAGE, LOOSE)
    assert overlap(after >= 0.5 * after.max()) > overlap(LOOSE >= 0.5)
