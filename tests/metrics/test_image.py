"""Which scores an image has, output by output."""

import numpy as np
import pytest

from fovea.losses import IGNORE
from fovea.metrics.image import scores_of_image
from fovea.metrics.overlap import NAMES, scores
from fovea.metrics.surface import surface_scores

RNG = np.random.default_rng(0)
PREDICTION, LEVEL, TRUTH = (RNG.integers(0, 2, (9, 12)) for _ in range(3))


def test_borders_and_size_are_those_of_the_prediction_alone() -> None:
    found = scores_of_image({"prediction": PREDICTION, "level_1": LEVEL}, TRUTH, 1, (0.5, 2.0), 1.0)
    assert list(found["prediction"]) == [*NAMES, "hd95", "surface_dice", "size"]
    assert found["level_1"] == scores(LEVEL, TRUTH)
    expected = scores(PREDICTION, TRUTH) | surface_scores(PREDICTION, TRUTH, (0.5, 2.0), 1.0)
    assert found["prediction"] == pytest.approx(expected | {"size": TRUTH.mean()})


def test_scores_of_several_classes_are_their_means_but_the_size_is_of_all() -> None:
    prediction, truth = RNG.integers(0, 3, (2, 9, 12))
    found = scores_of_image({"prediction": prediction}, truth, 3, (1, 1), 1.0)["prediction"]
    each = [surface_scores(prediction == label, truth == label, (1, 1), 1.0) for label in (1, 2)]
    assert found["hd95"] == pytest.approx(np.mean([score["hd95"] for score in each]))
    assert found["surface_dice"] == pytest.approx(np.mean([score["surface_dice"] for score in each]))
    assert found["size"] == pytest.approx((truth > 0).mean())


@pytest.mark.parametrize("names", [[], ["one", "two"]])
def test_ignored_pixels_are_left_out(names: list[str]) -> None:
    prediction, truth = RNG.integers(0, 3, (2, 9, 12))
    truth[:, :4] = IGNORE
    result = scores_of_image({"prediction": prediction}, truth, 3, (1, 1), 1.0, names)["prediction"]
    cut = scores_of_image({"prediction": prediction[:, 4:]}, truth[:, 4:], 3, (1, 1), 1.0, names)["prediction"]
    assert result == pytest.approx(cut)
