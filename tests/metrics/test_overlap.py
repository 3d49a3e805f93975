"""Overlap scores against counting by hand, and their empty cases."""

import numpy as np
import pytest

from fovea.metrics.overlap import NAMES, dice, iou, precision, recall, scores

PREDICTION = np.array([[1, 1, 1, 0], [0, 0, 0, 0]], dtype=bool)
TRUTH = np.array([[0, 1, 1, 0], [1, 1, 0, 0]], dtype=bool)
EMPTY = np.zeros((2, 4), dtype=bool)


@pytest.mark.parametrize(
    ("score", "expected"), [(dice, 4 / 7), (iou, 2 / 5), (precision, 2 / 3), (recall, 2 / 4)], ids=NAMES
)
def test_score_of_two_masks_counted_by_hand(score, expected) -> None:
    assert score(PREDICTION, TRUTH) == pytest.approx(expected)


def test_a_pair_of_empty_masks_scores_one() -> None:
    assert scores(EMPTY, EMPTY) == dict.fromkeys(NAMES, 1.0)


@pytest.mark.parametrize("pair", [(EMPTY, TRUTH), (PREDICTION, EMPTY)], ids=["nothing predicted", "nothing true"])
def test_one_empty_mask_scores_zero(pair) -> None:
    assert scores(*pair) == dict.fromkeys(NAMES, 0.0)


def test_any_label_but_zero_is_foreground() -> None:
    labels = TRUTH.astype(np.uint8) * 255
    assert scores(labels, TRUTH) == dict.fromkeys(NAMES, 1.0)


def test_keys_come_in_the_order_of_the_names() -> None:
    assert tuple(scores(PREDICTION, TRUTH)) == NAMES


def test_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2, 4\) and \(4, 2\)"):
        scores(PREDICTION, TRUTH.T)


def test_published_dice_and_iou_where_something_is_to_be_found(reference) -> None:
    published = np.load(reference / "metrics.npz", allow_pickle=False)
    ours = [
        (dice(logits > 0, target), iou(logits > 0, target))
        for logits, target in zip(published["logits"], published["target"], strict=True)
        if target.any()
    ]
    found = published["target"].any(axis=(1, 2, 3))
    expected = np.stack([published["dice"], published["iou"]], axis=1)[found]
    np.testing.assert_allclose(ours, expected, atol=1e-6)
