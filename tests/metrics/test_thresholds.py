"""Dice at many thresholds, compared with the Dice of every single one."""

from pathlib import Path

import numpy as np
import pytest

from fovea.data.store import Store
from fovea.losses import IGNORE
from fovea.metrics.overlap import dice
from fovea.metrics.thresholds import GRID, Curve, dice_at, quantized

THRESHOLDS = (0.5, 0.3, 0.367, 0.0, 1.0, *GRID)


@pytest.fixture
def values() -> np.ndarray:
    return np.random.default_rng(0).random((60, 70), dtype=np.float32)


def test_dice_of_the_stored_map(tmp_path: Path, values: np.ndarray) -> None:
    values[:10, :50] = np.repeat(np.asarray(THRESHOLDS[:5], np.float32), 100).reshape(10, 50)  # exactly on a threshold
    mask = (values + np.random.default_rng(1).normal(0, 0.2, values.shape) > 0.5).astype(np.uint8)
    Store(tmp_path).write("a", values)
    stored = Store(tmp_path).read("a")
    expected = [dice(stored >= threshold, mask) for threshold in THRESHOLDS]
    np.testing.assert_array_equal(dice_at(quantized(values), mask, THRESHOLDS), expected)


def test_ignored_pixels_are_left_out(values: np.ndarray) -> None:
    mask = (values > 0.4).astype(int)
    mask[20:] = IGNORE
    expected = dice_at(quantized(values[:20]), mask[:20], THRESHOLDS)
    np.testing.assert_array_equal(dice_at(quantized(values), mask, THRESHOLDS), expected)


def made(*rows: list[float]) -> Curve:
    return Curve(np.array([0.2, 0.4, 0.6]), np.array(rows))


def test_best_threshold_and_plateau() -> None:
    assert made([0.1, 0.8, 0.9], [0.5, 0.7, 0.2]).best() == pytest.approx(
        (0.4, 0.75, np.std([0.8, 0.7], ddof=1) / np.sqrt(2))
    )
    assert np.isnan(made([0.1, 0.8, 0.9]).best()[2])
    curve = Curve(np.arange(6) / 10, np.array([[0.798, 0.2, 0.797, 0.8, 0.796, 0.79]]))
    assert curve.plateau() == pytest.approx((0.2, 0.4))
    nothing = np.zeros((4, 4))
    assert dice_at(quantized(nothing), nothing, (0.5, 0.0)).tolist() == [1.0, 0.0]


def test_best_pair_of_a_naive_search() -> None:
    rng = np.random.default_rng(0)
    curve = Curve(np.arange(8) / 8, rng.random((20, 8)))
    pairs = {(i, j): np.maximum(curve.dice[:, i], curve.dice[:, j]).mean() for i in range(8) for j in range(i)}
    (high, low), score = max(pairs.items(), key=lambda item: item[1])
    assert curve.best_pair() == pytest.approx((high / 8, low / 8, score))
    assert made([0.5, 0.9, 0.9], [0.5, 0.7, 0.7]).best_pair() is None
    assert made([0.5, 0.9, 0.1], [0.7, 0.692, 0.1]).best_pair() is None  # 0.8 and 0.796
