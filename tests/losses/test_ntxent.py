"""NT-Xent, compared with a naive loop."""

import math

import pytest
import torch
from torch import Tensor

from fovea.losses.ntxent import ntxent

from .naive import contrast


def naive(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """The formula, descriptor by descriptor."""
    pairs = zip(first, second, strict=True)
    return torch.stack([term for a, b in pairs for term in contrast(list(a), list(b), temperature)]).mean()


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).requires_grad_()


@pytest.mark.parametrize("temperature", [0.1, 0.5])
@pytest.mark.parametrize("shape", [(1, 2, 3), (3, 5, 4)])
def test_naive_formula(shape: tuple[int, ...], temperature: float) -> None:
    pair = draw(0, *shape), draw(1, *shape)
    loss, expected = ntxent(*pair, temperature), naive(*pair, temperature)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(*(torch.autograd.grad(value, pair) for value in (loss, expected)))


def test_known_values() -> None:
    orthogonal = torch.eye(3)[None]
    # Of 5 others, one is the positive at 1 / 0.5 = 2, four are orthogonal.
    assert ntxent(orthogonal, orthogonal, 0.5).item() == pytest.approx(math.log(math.exp(2) + 4) - 2)
    assert ntxent(torch.ones(1, 3, 2), torch.ones(1, 3, 2), 0.5).item() == pytest.approx(math.log(5))


def test_norm_does_not_matter() -> None:
    first, second = draw(0, 2, 4, 3), draw(1, 2, 4, 3)
    torch.testing.assert_close(ntxent(7 * first, second / 3, 0.5), ntxent(first, second, 0.5))


def test_dead_channel() -> None:
    first = draw(0, 1, 4, 3).detach()
    first[0, 0] = 0
    first.requires_grad_()
    ntxent(first, draw(1, 1, 4, 3), 0.5).backward()
    assert first.grad is not None
    assert first.grad.isfinite().all() and first.grad.abs().max() < 1e5


def test_half_precision() -> None:
    first, second = draw(0, 1, 4, 3).detach(), draw(1, 1, 4, 3).detach()
    half = ntxent(first.half(), second.half(), 0.5)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half.double(), ntxent(first, second, 0.5), rtol=1e-2, atol=0)


@pytest.mark.parametrize("shape", [(1, 4, 2), (1, 3), (2, 4, 3)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="one shape"):
        ntxent(torch.zeros(1, 4, 3), torch.zeros(shape), 0.5)
