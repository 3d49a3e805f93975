"""Scores of an image, and summaries of known scores."""

import numpy as np
import pytest

from fovea.losses import IGNORE
from fovea.metrics.overlap import NAMES, scores
from fovea.metrics.summary import Scoring, by_size, lesion_size, scores_of_image, summarize, summary_of, table
from fovea.metrics.surface import surface_scores
from fovea.runtime.config import instantiate

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


def test_table_is_sorted_by_id() -> None:
    assert summarize(ROWS)["dice"] == {"mean": 0.75, "std": 0.25} and summarize(ROWS)["levels"] == {}
    header, body = table(ROWS, ["q", "p"])
    assert header == ["id", "patient", "dice", "iou", "precision", "recall"]
    assert [row[:2] for row in body] == [["a", "p"], ["b", "q"]]
    assert body[1][2:] == ["0.500000", "0.300000", "1.000000", "0.400000"]


def test_levels_come_after_the_prediction() -> None:
    header, body = table(with_more(level=True), ["q", "p"])
    assert header == ["id", "patient", *SCORES, "level_1_dice"]
    assert body[0][6:] == ["4.000000", "0.800000", "0.100000", "0.200000"]
    assert summarize(with_more(level=True))["levels"] == {"level_1": {"dice": {"mean": 0.2, "std": 0.0}}}


def test_units_interval_and_sizes() -> None:
    summary = summary_of(with_more(), ["q", "p"], "mm", SCORING)
    assert summary["hd95"] == {"mean": 4.0, "std": 0.0, "unit": "mm"}
    assert summary["surface_dice"] == {"mean": 0.8, "std": 0.0, "unit": "mm", "tolerance": 2.0}
    assert summary["dice"] == {"mean": 0.75, "std": 0.25, "ci95": [0.5, 1.0]}
    assert [entry["n"] for entry in summary["dice_by_size"]["bins"]] == [2, 0]
    assert summary["dice_by_size"]["bins"][0]["mean"] == pytest.approx(0.75)
    assert summary_of(with_more(), ["p", "p"], "px", SCORING)["dice"]["ci95"] is None  # of one patient


class TestScoresOfImage:
    def draw(self, classes: int, number: int) -> np.ndarray:
        return np.random.default_rng(0).integers(0, classes, (number, 9, 12))

    def test_prediction_and_levels(self) -> None:
        prediction, level, truth = self.draw(2, 3)
        result = scores_of_image({"prediction": prediction, "level_1": level}, truth, 1, (0.5, 2.0), 1.0)
        assert list(result["prediction"]) == [*NAMES, "hd95", "surface_dice", "size"]
        assert result["level_1"] == scores(level, truth)
        expected = scores(prediction, truth) | surface_scores(prediction, truth, (0.5, 2.0), 1.0)
        assert result["prediction"] == pytest.approx(expected | {"size": truth.mean()})

    @pytest.mark.parametrize("names", [[], ["one", "two"]])
    def test_several_classes(self, names: list[str]) -> None:
        prediction, truth = self.draw(3, 2)
        result = scores_of_image({"prediction": prediction}, truth, 3, (1, 1), 1.0, names)["prediction"]
        by_class = [surface_scores(prediction == label, truth == label, (1, 1), 1.0) for label in (1, 2)]
        for name in ("hd95", "surface_dice"):
            assert result[name] == pytest.approx(np.mean([values[name] for values in by_class]))
        assert result["size"] == pytest.approx((truth > 0).mean())


class TestBySize:
    SIZES = (0.0, 0.02, 0.02001, 0.3, 0.1, 0.0)
    DICE = (1.0, 0.4, 0.5, 0.9, 0.7, 0.0)

    def test_lesion_size(self) -> None:
        labels = np.zeros((10, 20), np.int64)
        labels[:3, :5], labels[8:, :5] = 1, 2
        assert lesion_size(labels) == pytest.approx(25 / 200)
        labels[4:8] = IGNORE
        assert lesion_size(labels) == pytest.approx(25 / 120)
        assert lesion_size(np.full((2, 2), IGNORE)) == 0

    def test_bounds_belong_to_the_lower_bin(self) -> None:
        result = by_size(self.SIZES, self.DICE, [0.02, 0.1])
        assert result["empty"] == {"n": 2, "mean": 0.5}
        bins = [(entry["above"], entry["up_to"], entry["n"]) for entry in result["bins"]]
        assert bins == [(0.0, 0.02, 1), (0.02, 0.1, 2), (0.1, 1.0, 1)]
        assert [entry["mean"] for entry in result["bins"]] == pytest.approx([0.4, 0.6, 0.9])
        assert by_size(self.SIZES, self.DICE, [0.5])["bins"][1] == {"above": 0.5, "up_to": 1.0, "n": 0, "mean": None}
        nothing = by_size([0.0, 0.0], [1.0, 1.0], None)
        assert nothing["empty"]["n"] == 2 and [entry["n"] for entry in nothing["bins"]] == [0]

    def test_thirds_of_the_images_with_a_lesion(self) -> None:
        sizes = np.concatenate([np.zeros(9), np.random.default_rng(0).uniform(0.01, 0.9, 30)])
        result = by_size(sizes, np.where(sizes > 0, sizes, 1), None)
        assert [entry["n"] for entry in result["bins"]] == [10, 10, 10]
        thirds = np.sort(sizes)[9:].reshape(3, 10).mean(axis=1)
        assert [entry["mean"] for entry in result["bins"]] == pytest.approx(thirds)


@pytest.mark.parametrize(
    ("key", "value"), [("surface_tolerance", -1), ("size_bounds", [0.1, 0.02]), ("size_bounds", 3), ("seed", None)]
)
def test_bad_options_are_refused(key: str, value: object) -> None:
    good = {"surface_tolerance": 2.0, "size_bounds": [0.02, 0.1], "calibration_bins": 15, "resamples": 10, "seed": 0}
    target = {"_target_": "fovea.metrics.summary.Scoring"}
    instantiate(target | good, "scoring")
    with pytest.raises(ValueError, match=rf"{key}.* got"):
        instantiate(target | good | {key: value}, "scoring")
