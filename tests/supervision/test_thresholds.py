"""Thresholds, fixed and drawn."""

import pytest
import torch

from fovea.supervision.thresholds import Thresholds


def test_numbers_stay_as_they_are_and_draw_nothing() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    assert Thresholds([0.5, 0.3]).draw() == [0.5, 0.3]
    assert torch.equal(torch.get_rng_state(), before)


def test_a_range_is_drawn_evenly_from_end_to_end() -> None:
    torch.manual_seed(0)
    drawn = [Thresholds([0.5, [0.2, 0.4]]).draw() for _ in range(500)]
    assert {first for first, _ in drawn} == {0.5}
    values = torch.tensor([second for _, second in drawn])
    assert 0.2 <= values.min() < 0.21 and 0.39 < values.max() <= 0.4
    assert values.mean().item() == pytest.approx(0.3, abs=0.01)


def test_the_seed_of_the_run_is_that_of_the_draws() -> None:
    torch.manual_seed(7)
    first = [Thresholds([[0.2, 0.4]]).draw() for _ in range(3)]
    torch.manual_seed(7)
    assert [Thresholds([[0.2, 0.4]]).draw() for _ in range(3)] == first
    assert first[0] != first[1]


@pytest.mark.parametrize("given", [[], [0.0], [1.5], [[0.4, 0.2]], [[0.0, 0.2]], [[0.2, 1.2]], [[0.2]], ["0.5"]])
def test_others_are_refused_with_an_example(given: list) -> None:
    with pytest.raises(ValueError, match=r"supervision\.thresholds=.*\[0\.4, 0\.6\]"):
        Thresholds(given)
