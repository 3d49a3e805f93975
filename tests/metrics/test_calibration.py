"""The calibration error, compared with counts by bin and with torchmetrics."""

import numpy as np
import pytest

from fovea.losses import IGNORE
from fovea.metrics.calibration import CalibrationError


def draw(seed: int, classes: int = 1, shape: tuple[int, int] = (13, 17)) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(max(classes, 2), *shape))
    probability = np.exp(logits) / np.exp(logits).sum(axis=0)
    return probability[-classes:].astype(np.float32), rng.integers(0, max(classes, 2), shape)


def error(images: list[tuple[np.ndarray, np.ndarray]], bins: int = 15) -> float | None:
    calibration = CalibrationError(bins)
    for probability, target in images:
        calibration.update(probability, target)
    return calibration.compute()


def test_counts_by_bin() -> None:
    images = [draw(0), draw(1, shape=(5, 40))]
    confidence = np.concatenate([probability.ravel() for probability, _ in images])
    true = np.concatenate([target.ravel() for _, target in images])
    expected = 0.0
    for number in range(10):
        inside = (confidence >= number / 10) & (confidence < (number + 1) / 10)
        expected += abs(confidence[inside].mean() - true[inside].mean()) * inside.mean()
    assert error(images, bins=10) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("classes", [1, 3])
def test_ignored_pixels_are_left_out(classes: int) -> None:
    probability, target = draw(0, classes)
    target[:5] = IGNORE
    assert error([(probability, target)]) == error([(probability[:, 5:], target[5:])])


def test_certain_predictions_labels_of_255_and_values_that_are_not_finite() -> None:
    target = np.array([[0, 1], [1, 0]])
    assert error([(target[None].astype(np.float32), target)]) == 0.0
    assert error([(1 - target[None].astype(np.float32), target)]) == 1.0
    probability, target = draw(0)
    assert error([(probability, 255 * target)]) == error([(probability, target)])
    assert error([]) is None
    for value in (np.nan, np.inf):
        probability[0, 3, 4] = value
        assert error([(probability, target)]) is None
