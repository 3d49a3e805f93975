"""The refiners that are no CRF."""

import numpy as np

from fovea.prepare.refiners.classical import grabcut, guided
from fovea.prepare.refiners.crf import refine

DISC = np.hypot(*(np.mgrid[:80, :100] - np.array([40, 50])[:, None, None])) < 20
IMAGE = np.where(DISC[..., None], (200, 90, 80), (60, 50, 40)).astype(np.float64)
IMAGE = (IMAGE + np.random.default_rng(0).normal(0, 5, IMAGE.shape)).clip(0, 255).astype(np.uint8)
# A blob that is too wide, and beside the disc.
LOOSE = np.exp(-((np.mgrid[:80, :100] - np.array([44, 46])[:, None, None]) ** 2).sum(axis=0) / 900).astype(np.float32)


def overlap(target: np.ndarray) -> float:
    return 2 * (target & DISC).sum() / (target.sum() + DISC.sum())


def test_grabcut_finds_the_disc() -> None:
    before, after = LOOSE >= 0.5, grabcut(IMAGE, LOOSE, 3, 0.1, 0.9)
    assert set(np.unique(after)) == {0, 1}
    assert overlap(before) < 0.9 < 0.97 < overlap(after >= 0.5)


def test_grabcut_keeps_what_is_sure() -> None:
    sure = LOOSE.copy()
    sure[DISC], sure[:5] = 0.05, 0.95
    after = grabcut(IMAGE, sure, 2, 0.1, 0.9)
    assert after[DISC].max() == 0
    assert after[:5].min() == 1


def test_grabcut_is_repeatable() -> None:
    np.testing.assert_array_equal(grabcut(IMAGE, LOOSE, 2, 0.1, 0.9), grabcut(IMAGE, LOOSE, 2, 0.1, 0.9))


def test_grabcut_with_nothing_to_cut() -> None:
    for value in (0, 1):
        result = refine(IMAGE, np.full(DISC.shape, value, np.float32), backend="grabcut")
        np.testing.assert_array_equal(result, np.full(DISC.shape, value))


def test_guided_filter_by_its_definition() -> None:
    """Around a pixel, the windows' linear models averaged; far from the border."""
    radius, epsilon = 2, 0.01
    guide = IMAGE[..., :1].repeat(3, axis=2)[20:34, 20:34]  # one channel: its own grey image
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
    np.testing.assert_allclose(guided(guide, target, radius, epsilon)[7, 7], expected, atol=1e-6)


def test_guided_filter_leaves_a_constant_map() -> None:
    np.testing.assert_allclose(guided(IMAGE, np.full(DISC.shape, 0.3, np.float32), 60, 1e-3), 0.3, atol=1e-6)


def test_guided_filter_sharpens_at_the_edge() -> None:
    after = guided(IMAGE, LOOSE, 30, 1e-3)
    assert overlap(after >= 0.5 * after.max()) > overlap(LOOSE >= 0.5)
