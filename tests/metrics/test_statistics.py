"""Intervals and p values against SciPy's and naive ones, and by patient."""

from itertools import product

import numpy as np
import pytest
from scipy.stats import bootstrap

from fovea.metrics.statistics import holm, mean_interval, sign_flip_test

VALUES = np.random.default_rng(0).beta(4, 2, 40)
ALONE = [str(number) for number in range(60)]


def draw(mean: float, number: int = 60) -> np.ndarray:
    return np.random.default_rng(3).normal(mean, 0.1, number)


class TestMeanInterval:
    def test_matches_scipy_for_images_alone_and_repeats_with_its_seed_only(self) -> None:
        expected = bootstrap((VALUES,), np.mean, n_resamples=9999, method="percentile").confidence_interval
        low, high = mean_interval(VALUES, ALONE[:40], 9999, seed=0)
        assert (low, high) == pytest.approx([expected.low, expected.high], abs=0.01)
        assert low < VALUES.mean() < high
        first, again, other = (mean_interval(VALUES, ALONE[:40], 100, seed) for seed in (0, 0, 1))
        assert first == again != other
        assert mean_interval(VALUES, ["a"] * 40, 100, 0) is mean_interval(VALUES, ALONE[:40], 0, 0) is None

    def test_draws_patients_with_all_their_images(self) -> None:
        values, patients = [0.0, 0.0, 0.0, 1.0], ["a", "a", "a", "b"]
        rng = np.random.default_rng(5)
        means = []
        for _ in range(50):  # the same draws, patient by patient
            drawn = [["a", "b"][number] for number in rng.integers(2, size=2)]
            chosen = [value for patient in drawn for value, own in zip(values, patients, strict=True) if own == patient]
            means.append(sum(chosen) / len(chosen))
        assert mean_interval(values, patients, 50, seed=5) == pytest.approx(list(np.percentile(means, [2.5, 97.5])))


class TestSignFlipTest:
    def test_takes_all_flips_of_few_patients(self) -> None:
        differences = np.array([0.3, -0.1, 0.25, 0.0, 0.4, 0.05, 0.15])
        means = [abs(np.mean(signs * differences)) for signs in product((-1, 1), repeat=7)]
        expected = np.mean([mean >= abs(differences.mean()) - 1e-12 for mean in means])
        assert sign_flip_test(differences, ALONE[:7], 200, seed=0) == pytest.approx(expected)

    def test_draws_flips_of_many_patients(self) -> None:
        differences, rng = draw(0.02), np.random.default_rng(1)
        means = [abs(np.mean(rng.choice([-1, 1], 60) * differences)) for _ in range(10000)]
        expected = np.mean([mean >= abs(differences.mean()) for mean in means])
        assert 0.01 < expected < 0.5
        assert sign_flip_test(differences, ALONE, 10000, seed=0) == pytest.approx(expected, abs=0.02)
        assert sign_flip_test(draw(0.2), ALONE, 999, seed=0) == 1 / 1000
        assert sign_flip_test(np.zeros(60), ALONE, 500, 0) == sign_flip_test(draw(0.2), ["a"] * 60, 500, 0) == 1

    def test_rejects_true_nulls_at_the_rate_of_alpha(self) -> None:
        rng = np.random.default_rng(0)
        p_values = [sign_flip_test(rng.normal(0, 0.1, 20), ALONE[:20], 200, seed=0) for _ in range(300)]
        assert 0.01 < np.mean(np.array(p_values) < 0.05) < 0.09


@pytest.mark.parametrize("number", [6, 40])
@pytest.mark.parametrize("copies", [2, 4])
def test_copies_of_a_patients_images_add_no_evidence(number: int, copies: int) -> None:
    values, patients = draw(0.03, number), ALONE[:number]
    many, owners = np.repeat(values, copies), list(np.repeat(patients, copies))
    assert sign_flip_test(many, owners, 500, 0) == sign_flip_test(values, patients, 500, 0)
    assert mean_interval(many, owners, 500, 0) == pytest.approx(mean_interval(values, patients, 500, 0))
    by_image = [str(place) for place in range(len(many))]
    assert sign_flip_test(many, by_image, 500, 0) < sign_flip_test(values, patients, 500, 0)


def test_holm_multiplies_the_smallest_by_their_number() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.5]) == [1.0, 1.0]
    assert holm([0.02]) == [0.02]
    assert holm([]) == []
