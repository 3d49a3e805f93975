"""Cross-level consistency, compared with a naive loop."""

import pytest
import torch
from torch import Tensor

from fovea.losses.consistency import cross_level_consistency


def naive(logits: Tensor, peers: Tensor) -> Tensor:
    """Level by level, pixel by pixel."""
    levels, batch, classes, height, width = logits.shape

    def probabilities(z: Tensor) -> Tensor:
        return z.softmax(dim=0) if classes > 1 else torch.cat([1 - z.sigmoid(), z.sigmoid()])

    terms = []
    for k in range(levels):
        pairs = []
        for j in range(levels):
            if j != k:
                for b, y, x in torch.cartesian_prod(*map(torch.arange, (batch, height, width))).tolist():
                    other = probabilities(peers[j, b, :, y, x]).detach()
                    pairs.append((probabilities(logits[k, b, :, y, x]) * other).sum())
        terms.append(-torch.stack(pairs).mean())
    return torch.stack(terms)


def draw(levels: int, classes: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(levels, 2, classes, 3, 4, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("levels", [2, 3])
def test_naive_sum(levels: int, classes: int) -> None:
    logits, peers = draw(levels, classes, 0).requires_grad_(), draw(levels, classes, 1)
    weight = torch.arange(1.0, levels + 1, dtype=torch.float64)
    loss, expected = cross_level_consistency(logits, peers), naive(logits, peers)
    torch.testing.assert_close(loss, expected)
    gradients = [torch.autograd.grad((terms * weight).sum(), logits)[0] for terms in (loss, expected)]
    torch.testing.assert_close(*gradients)


def test_certain_levels_one_level_and_half_precision() -> None:
    certain = 100 * torch.ones(3, 1, 1, 2, 2)
    torch.testing.assert_close(cross_level_consistency(certain, certain), -torch.ones(3))
    logits, peers = draw(2, 1, 0).requires_grad_(), draw(2, 1, 1).requires_grad_()
    cross_level_consistency(logits, peers).sum().backward()
    assert peers.grad is None and logits.grad is not None and logits.grad.any()
    one = draw(1, 1, 0).requires_grad_()
    terms = cross_level_consistency(one, one)
    terms.sum().backward()
    assert terms.tolist() == [0.0] and one.grad is not None and not one.grad.any()
    half = cross_level_consistency(logits.half(), logits.half())
    assert half.dtype == torch.float32
    torch.testing.assert_close(half.double(), cross_level_consistency(logits, logits), rtol=1e-3, atol=0)


@pytest.mark.parametrize("shape", [(2, 1, 1, 3, 4), (2, 2, 1, 3)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="one shape"):
        cross_level_consistency(draw(2, 1, 0), torch.zeros(shape))
