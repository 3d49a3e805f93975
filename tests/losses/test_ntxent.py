import math

import pytest
import torch
from torch import Tensor

from fovea.losses.ntxent import ntxent


def naive(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """The formula, descriptor by descriptor."""
    terms = []
    for a, b in zip(first, second, strict=True):
        views = [each / each.norm() for each in [*a, *b]]
        count = len(views)
        for i, anchor in enumerate(views):
            similar = [anchor @ each / temperature for each in views]
            rest = torch.stack([similar[j] for j in range(count) if j != i])
            terms.append(rest.exp().sum().log() - similar[(i + count // 2) % count])
    return torch.stack(terms).mean()


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).requires_grad_()


@pytest.mark.parametrize("temperature", [0.1, 0.5])
@pytest.mark.parametrize("shape", [(1, 2, 3), (3, 5, 4)])
def test_equals_the_formula_written_out(shape: tuple[int, ...], temperature: float) -> None:
    pair = draw(0, *shape), draw(1, *shape)

    ours, theirs = ntxent(*pair, temperature), naive(*pair, temperature)

    torch.testing.assert_close(ours, theirs)
    for mine, expected in zip(torch.autograd.grad(ours, pair), torch.autograd.grad(theirs, pair), strict=True):
        torch.testing.assert_close(mine, expected)


def test_known_values() -> None:
    apart = torch.eye(3)[None]

    # Of 5 others one is the positive at 1 / 0.5 = 2, four are at right angles.
    assert ntxent(apart, apart).item() == pytest.approx(math.log(math.exp(2) + 4) - 2)
    assert ntxent(torch.ones(1, 3, 2), torch.ones(1, 3, 2)).item() == pytest.approx(math.log(5))


def test_the_norm_of_a_descriptor_does_not_matter() -> None:
    first, second = draw(0, 2, 4, 3), draw(1, 2, 4, 3)

    torch.testing.assert_close(ntxent(7 * first, second / 3), ntxent(first, second))


def test_a_dead_channel_does_no_harm() -> None:
    first = draw(0, 1, 4, 3).detach()
    first[0, 0] = 0
    first.requires_grad_()

    ntxent(first, draw(1, 1, 4, 3)).backward()

    assert first.grad is not None
    assert first.grad.isfinite().all() and first.grad.abs().max() < 1e5


def test_half_precision_is_computed_in_single() -> None:
    first, second = draw(0, 1, 4, 3).detach(), draw(1, 1, 4, 3).detach()

    half = ntxent(first.half(), second.half())

    assert half.dtype == torch.float32
    torch.testing.assert_close(half.double(), ntxent(first, second), rtol=1e-2, atol=0)


@pytest.mark.parametrize("shape", [(1, 4, 2), (1, 3), (2, 4, 3)])
def test_refuses_other_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="one shape"):
        ntxent(torch.zeros(1, 4, 3), torch.zeros(shape))
