"""Fixed and drawn thresholds."""

from itertools import combinations, pairwise

import pytest
import torch

from fovea.losses import IGNORE
from fovea.supervision.thresholds import BINS, Thresholds, otsu

MAPS = torch.rand(2, 1, 8, 8)


def test_fixed_thresholds_draw_nothing_and_a_range_is_drawn_uniformly() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    assert Thresholds([0.5, 0.3]).draw(MAPS).flatten().tolist() == pytest.approx([0.5, 0.3])
    assert torch.equal(torch.get_rng_state(), before)
    drawn = [Thresholds([0.5, [0.2, 0.4]]).draw(MAPS).flatten() for _ in range(500)]
    assert {first.item() for first, _ in drawn} == {0.5}
    values = torch.stack(drawn)[:, 1]
    assert 0.2 <= values.min() < 0.21 and 0.39 < values.max() <= 0.4
    assert values.mean().item() == pytest.approx(0.3, abs=0.01)


@pytest.mark.parametrize(
    "values",
    [[], [0.0], [1.5], [[0.4, 0.2]], [[0.0, 0.2]], [[0.2, 1.2]], [[0.2]], ["0.5"], ["otsu"] * 3, ["otsu", 0.3], [None]],
)
def test_other_values_are_refused(values: list) -> None:
    with pytest.raises(ValueError, match="thresholds must be"):
        Thresholds(values)


@pytest.mark.parametrize("number", [1, 2])
def test_otsu_has_the_least_variance_of_all_splits(number: int) -> None:
    torch.manual_seed(0)
    maps = torch.rand(5, 1, 20, 20) ** torch.tensor([0.3, 1.0, 2.0, 4.0, 8.0]).view(5, 1, 1, 1)
    found = otsu(maps, number)

    def spread(values: torch.Tensor, thresholds: tuple[int, ...]) -> float:
        """The variance within classes of values that are rounded to the centers of their bins."""
        bins = (values.flatten().double() * BINS).floor()
        edges = [0, *thresholds, BINS]
        classes = [bins[(bins >= low) & (bins < high)] for low, high in pairwise(edges)]
        return sum(((each - each.mean()) ** 2).sum().item() for each in classes if len(each))

    for values, thresholds in zip(maps, (found * BINS).round().int().T.tolist(), strict=True):
        best = min(spread(values, split) for split in combinations(range(1, BINS), number))
        assert spread(values, tuple(sorted(thresholds))) == pytest.approx(best, rel=1e-4)
    assert found.diff(dim=0).le(0).all()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        *(([0.0], [0]), ([1.0], [1]), ([0.5], [IGNORE]), ([0.0, 1.0], [0, 1]), ([0.0, 0.5], [0, IGNORE])),
        ([0, 0.5, 1], [0, IGNORE, 1]),
    ],
)
def test_trimap_of_each_map(values: list[float], expected: list[int]) -> None:
    """A map of one value, of two and of three; beside one that must not matter."""
    maps = torch.tensor([values * 8, torch.linspace(0, 1, 8 * len(values)).tolist()])[:, None, :, None]
    found = Thresholds(["otsu", "otsu"]).trimap(maps)
    assert found[0, 0, : len(values), 0].tolist() == expected
    assert set(found[1].unique().tolist()) == {IGNORE, 0, 1}
