"""Fixed and drawn thresholds."""

import pytest
import torch

from fovea.supervision.thresholds import Thresholds


def test_fixed_thresholds_draw_nothing() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    assert Thresholds([0.5, 0.3]).draw() == [0.5, 0.3]
    assert torch.equal(torch.get_rng_state(), before)


def test_range_is_drawn_uniformly() -> None:
    torch.manual_seed(0)
    drawn = [Thresholds([0.5, [0.2, 0.4]]).draw() for _ in range(500)]
    assert {first for first, _ in drawn} == {0.5}
    values = torch.tensor([second for _, second in drawn])
    assert 0.2 <= values.min() < 0.21 and 0.39 < values.max() <= 0.4
    assert values.mean().item() == pytest.approx(0.3, abs=0.01)


@pytest.mark.parametrize("values", [[], [0.0], [1.5], [[0.4, 0.2]], [[0.0, 0.2]], [[0.2, 1.2]], [[0.2]], ["0.5"]])
def test_other_values_are_refused(values: list) -> None:
    with pytest.raises(ValueError, match="thresholds must be"):
        Thresholds(values)
