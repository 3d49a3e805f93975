"""Overlap scores, compared with counts by hand."""

import numpy as np
import pytest

from fovea.losses import IGNORE
from fovea.metrics.overlap import NAMES, dice, scores, scores_of_labels

PREDICTION = np.array([[1, 1, 1, 0], [0, 0, 0, 0]], dtype=bool)
TRUTH = np.array([[0, 1, 1, 0], [1, 1, 0, 0]], dtype=bool)
EMPTY = np.zeros((2, 4), dtype=bool)


def test_counted_by_hand() -> None:
    assert scores(PREDICTION, TRUTH) == pytest.approx({"dice": 4 / 7, "iou": 2 / 5, "precision": 2 / 3, "recall": 0.5})
    assert tuple(scores(PREDICTION, TRUTH)) == NAMES
    assert scores(EMPTY, EMPTY) == dict.fromkeys(NAMES, 1.0)
    assert scores(EMPTY, TRUTH) == scores(PREDICTION, EMPTY) == dict.fromkeys(NAMES, 0.0)
    assert scores(TRUTH.astype(np.uint8) * 255, TRUTH) == dict.fromkeys(NAMES, 1.0)  # any label but 0
    with pytest.raises(ValueError, match=r"\(2, 4\) and \(4, 2\)"):
        scores(PREDICTION, TRUTH.T)


@pytest.mark.parametrize("classes", [1, 3])
def test_ignored_pixels_are_left_out(classes: int) -> None:
    rng = np.random.default_rng(0)
    prediction, truth = rng.integers(0, max(classes, 2), (2, 6, 7))
    truth[rng.random(truth.shape) < 0.4] = IGNORE
    labeled = truth != IGNORE
    expected = scores_of_labels(prediction[labeled], truth[labeled], classes)
    assert scores_of_labels(prediction, truth, classes) == expected


def test_published_dice_and_iou(reference) -> None:
    published = np.load(reference / "metrics.npz", allow_pickle=False)
    foreground = published["target"].any(axis=(1, 2, 3))  # the release scores an empty pair 0
    ours = [
        (dice(logits > 0, target), scores(logits > 0, target)["iou"])
        for logits, target in zip(published["logits"][foreground], published["target"][foreground], strict=True)
    ]
    np.testing.assert_allclose(ours, np.stack([published["dice"], published["iou"]], axis=1)[foreground], atol=1e-6)
