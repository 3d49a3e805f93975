"""Which image is in which bin."""

import numpy as np
import pytest

from fovea.metrics.lesion_size import by_size, lesion_size

SIZES = [0.0, 0.02, 0.02001, 0.3, 0.1, 0.0]
DICE = [1.0, 0.4, 0.5, 0.9, 0.7, 0.0]


def test_a_size_is_a_share_of_the_image() -> None:
    labels = np.zeros((10, 20), np.uint8)
    labels[:3, :5] = 1
    labels[8:, :5] = 2
    assert lesion_size(labels) == pytest.approx(25 / 200)


def test_fixed_bounds_are_the_upper_ends_of_their_bins() -> None:
    found = by_size(SIZES, DICE, [0.02, 0.1])
    assert found["empty"] == {"n": 2, "mean": 0.5}
    assert [(each["above"], each["up_to"], each["n"]) for each in found["bins"]] == [
        (0.0, 0.02, 1),
        (0.02, 0.1, 2),
        (0.1, 1.0, 1),
    ]
    assert [each["mean"] for each in found["bins"]] == pytest.approx([0.4, 0.6, 0.9])


def test_a_bin_without_an_image_has_no_mean() -> None:
    assert by_size(SIZES, DICE, [0.5])["bins"][1] == {"above": 0.5, "up_to": 1.0, "n": 0, "mean": None}


def test_thirds_are_of_the_images_with_a_lesion() -> None:
    rng = np.random.default_rng(0)
    sizes = np.concatenate([np.zeros(9), rng.uniform(0.01, 0.9, 30)])
    found = by_size(sizes, np.where(sizes > 0, sizes, 1), None)
    assert [each["n"] for each in found["bins"]] == [10, 10, 10]
    thirds = np.sort(sizes)[9:].reshape(3, 10).mean(axis=1)
    assert [each["mean"] for each in found["bins"]] == pytest.approx(thirds)


def test_without_a_lesion_there_is_one_empty_bin() -> None:
    found = by_size([0.0, 0.0], [1.0, 1.0], None)
    assert found["empty"]["n"] == 2 and [each["n"] for each in found["bins"]] == [0]
