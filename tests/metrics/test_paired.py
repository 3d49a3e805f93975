from itertools import product

import numpy as np
import pytest

from fovea.metrics.paired import holm, interval, sign_flip_test


def draw(mean: float, number: int = 60) -> np.ndarray:
    return np.random.default_rng(3).normal(mean, 0.1, number)


def test_the_interval_is_that_of_means_of_images_drawn_again() -> None:
    values = draw(0.7)
    rng = np.random.default_rng(1)
    means = [np.mean([values[rng.integers(60)] for _ in values]) for _ in range(4000)]
    assert interval(values, 10000, seed=0) == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=2e-3)


def test_a_seed_gives_the_same_interval_and_p_value_again() -> None:
    values = draw(0.02)
    assert interval(values, 500, seed=1) == interval(values, 500, seed=1) != interval(values, 500, seed=2)
    assert sign_flip_test(values, 500, seed=1) == sign_flip_test(values, 500, seed=1)


def test_values_that_are_all_alike_are_sure() -> None:
    assert interval(np.full(5, 0.25), 200, seed=0) == (0.25, 0.25)


def test_few_images_are_tested_on_every_flip() -> None:
    differences = np.array([0.3, -0.1, 0.25, 0.0, 0.4, 0.05, 0.15])
    means = [abs(np.mean(signs * differences)) for signs in product((-1, 1), repeat=7)]
    expected = np.mean([mean >= abs(differences.mean()) - 1e-12 for mean in means])
    assert sign_flip_test(differences, 200, seed=0) == pytest.approx(expected)
    assert expected < 0.1


def test_many_images_are_tested_on_random_flips() -> None:
    differences = draw(0.02)
    rng = np.random.default_rng(1)
    means = [abs(np.mean(rng.choice([-1, 1], 60) * differences)) for _ in range(10000)]
    expected = np.mean([mean >= abs(differences.mean()) for mean in means])
    assert 0.01 < expected < 0.5
    assert sign_flip_test(differences, 10000, seed=0) == pytest.approx(expected, abs=0.02)
    assert sign_flip_test(draw(0.2), 999, seed=0) == pytest.approx(2 / 1000)


def test_no_difference_is_none() -> None:
    assert sign_flip_test(np.zeros(40), 500, seed=0) == 1


def test_true_nulls_are_called_different_as_often_as_alpha_says() -> None:
    rng = np.random.default_rng(0)
    p_values = [sign_flip_test(rng.normal(0, 0.1, 20), 200, seed=0) for _ in range(300)]
    assert 0.01 < np.mean(np.array(p_values) < 0.05) < 0.09


def test_holm_multiplies_the_smallest_by_their_number_and_keeps_the_order() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.5]) == [1.0, 1.0]
    assert holm([0.02]) == [0.02]
    assert holm([]) == []
