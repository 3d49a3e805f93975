"""Fixed and drawn thresholds."""

from typing import Any

import pytest
import torch

from fovea.losses import IGNORE
from fovea.supervision.thresholds import Thresholds

MAPS = torch.rand(2, 1, 8, 8)


def test_fixed_thresholds_draw_nothing_and_a_range_is_drawn_uniformly() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    assert Thresholds([0.5, 0.3]).draw(MAPS).tolist() == pytest.approx([0.5, 0.3])
    assert torch.equal(torch.get_rng_state(), before)
    drawn = [Thresholds([0.5, [0.2, 0.4]]).draw(MAPS) for _ in range(500)]
    assert {first.item() for first, _ in drawn} == {0.5}
    values = torch.stack(drawn)[:, 1]
    assert 0.2 <= values.min() < 0.21 and 0.39 < values.max() <= 0.4
    assert values.mean().item() == pytest.approx(0.3, abs=0.01)


@pytest.mark.parametrize(
    "values",
    [None, 0.5, [], [0.0], [1.5], [[0.4, 0.2]], [[0.0, 0.2]], [[0.2, 1.2]], [[0.2]], ["0.5"], [None]],
)
def test_other_values_are_refused(values: Any) -> None:
    with pytest.raises(ValueError, match="thresholds must be"):
        Thresholds(values)


def test_trimap() -> None:
    maps = torch.tensor([0.1, 0.3, 0.4, 0.5, 0.9])
    assert Thresholds([0.5, 0.3]).trimap(maps).tolist() == [0, IGNORE, IGNORE, 1, 1]
    assert Thresholds([0.4]).trimap(maps).tolist() == [0, 0, 1, 1, 1]
