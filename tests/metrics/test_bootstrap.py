"""Intervals against SciPy's, and by patient."""

import numpy as np
import pytest
from scipy.stats import bootstrap

from fovea.metrics.bootstrap import mean_interval

VALUES = np.random.default_rng(0).beta(4, 2, 40)
ALONE = [str(number) for number in range(40)]


def test_the_interval_of_images_is_that_of_scipy() -> None:
    expected = bootstrap((VALUES,), np.mean, n_resamples=9999, method="percentile").confidence_interval
    found = mean_interval(VALUES, ALONE, 9999, seed=0)
    assert found == pytest.approx([expected.low, expected.high], abs=0.01)
    assert found[0] < VALUES.mean() < found[1]


def test_patients_are_drawn_with_all_their_images() -> None:
    values, patients = [0.0, 0.0, 0.0, 1.0], ["a", "a", "a", "b"]
    rng = np.random.default_rng(5)
    means = []
    for _ in range(50):  # the same draws, patient by patient
        drawn = [["a", "b"][number] for number in rng.integers(2, size=2)]
        chosen = [value for patient in drawn for value, each in zip(values, patients, strict=True) if each == patient]
        means.append(sum(chosen) / len(chosen))
    assert mean_interval(values, patients, 50, seed=5) == pytest.approx(list(np.percentile(means, [2.5, 97.5])))


def test_images_of_few_patients_tell_less() -> None:
    values = np.repeat([0.2, 0.5, 0.9, 0.6], 10)
    low, high = mean_interval(values, [name for name in "abcd" for _ in range(10)], 500, seed=0)
    low_alone, high_alone = mean_interval(values, ALONE, 500, seed=0)
    assert high - low > 1.5 * (high_alone - low_alone)


def test_a_seed_gives_the_same_interval_and_another_one_another() -> None:
    first, again, other = (mean_interval(VALUES, ALONE, 100, seed) for seed in (0, 0, 1))
    assert first == again != other


@pytest.mark.parametrize(("patients", "resamples"), [(["a"] * 40, 100), (ALONE, 0)], ids=["one patient", "no resample"])
def test_nothing_to_draw_from_has_no_interval(patients: list[str], resamples: int) -> None:
    assert mean_interval(VALUES, patients, resamples, seed=0) is None
