"""Tables and summaries of scores whose means are known."""

import pytest

from fovea.metrics.scoring import Scoring
from fovea.metrics.summary import summarise, summary_of, table

ROWS = {
    "b": {"prediction": {"dice": 0.5, "iou": 0.3, "precision": 1.0, "recall": 0.4}},
    "a": {"prediction": {"dice": 1.0, "iou": 1.0, "precision": 1.0, "recall": 1.0}},
}
MORE = {"hd95": 4.0, "surface_dice": 0.8, "size": 0.1}
SCORING = Scoring(2.0, [0.2], calibration_bins=15, resamples=200, seed=0)
SCORES = ("dice", "iou", "precision", "recall", "hd95", "surface_dice", "size")


def with_more(level: bool = False) -> dict:
    """The rows with what an evaluation adds, and with a level before the prediction."""
    first = {"level_1": {"dice": 0.2}} if level else {}
    return {image_id: first | {"prediction": row["prediction"] | MORE} for image_id, row in ROWS.items()}


def test_a_summary_has_the_mean_and_spread_over_images() -> None:
    assert summarise(ROWS)["dice"] == {"mean": 0.75, "std": 0.25}
    assert summarise(ROWS)["levels"] == {}


def test_a_table_is_sorted_by_id() -> None:
    header, body = table(ROWS, ["q", "p"])
    assert header == ["id", "patient", "dice", "iou", "precision", "recall"]
    assert [row[:2] for row in body] == [["a", "p"], ["b", "q"]]
    assert body[1][2:] == ["0.500000", "0.300000", "1.000000", "0.400000"]


def test_what_the_prediction_alone_has_comes_before_the_levels() -> None:
    header, body = table(with_more(level=True), ["q", "p"])
    assert header == ["id", "patient", *SCORES, "level_1_dice"]
    assert body[0][6:] == ["4.000000", "0.800000", "0.100000", "0.200000"]
    assert summarise(with_more(level=True))["levels"] == {"level_1": {"dice": {"mean": 0.2, "std": 0.0}}}


def test_a_whole_summary_names_units_interval_and_sizes() -> None:
    summary = summary_of(with_more(), ["q", "p"], "mm", SCORING)
    assert summary["hd95"] == {"mean": 4.0, "std": 0.0, "unit": "mm"}
    assert summary["surface_dice"] == {"mean": 0.8, "std": 0.0, "unit": "mm", "tolerance": 2.0}
    assert summary["dice"] == {"mean": 0.75, "std": 0.25, "ci95": [0.5, 1.0]}
    assert [each["n"] for each in summary["dice_by_size"]["bins"]] == [2, 0]
    assert summary["dice_by_size"]["bins"][0]["mean"] == pytest.approx(0.75)


def test_images_of_one_patient_have_no_interval() -> None:
    assert summary_of(with_more(), ["p", "p"], "px", SCORING)["dice"]["ci95"] is None
