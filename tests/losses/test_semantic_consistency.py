"""Semantic consistency, compared with a naive loop."""

import pytest
import torch
from torch import Tensor

from fovea.losses.semantic_consistency import semantic_consistency

from .naive import contrast


def descriptors(volume: Tensor, side: int) -> list[Tensor]:
    """The means of the cells of each channel; sides are multiples."""
    steps = [size // side for size in volume.shape[1:]]
    cells = torch.cartesian_prod(*[torch.arange(side)] * 3).tolist()
    slices = [tuple(slice(k * step, (k + 1) * step) for k, step in zip(cell, steps, strict=True)) for cell in cells]
    return [torch.stack([channel[place].mean() for place in slices]) for channel in volume]


def naive(features: list[Tensor], side: int, temperature: float) -> Tensor:
    """Cell means, unit norm, and each channel against all others."""
    terms = []
    for m in range(len(features)):
        for n in range(m + 1, len(features)):
            for image in range(len(features[0])):
                terms += contrast(*(descriptors(features[k][image], side) for k in (m, n)), temperature)
    return torch.stack(terms).mean()


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).requires_grad_()


@pytest.mark.parametrize(("modalities", "side"), [(2, 2), (3, 2), (2, 4)])
def test_definition(modalities: int, side: int) -> None:
    features = [draw(seed, 2, 3, 4, 4, 8) for seed in range(modalities)]
    loss, expected = semantic_consistency(features, side, 0.5), naive(features, side, 0.5)
    torch.testing.assert_close(loss, expected)
    gradients = (torch.autograd.grad(value, features) for value in (loss, expected))
    torch.testing.assert_close(*gradients)


def test_least_for_equal_channels() -> None:
    features = draw(0, 1, 6, 4, 4, 4)
    same, shuffled = (
        semantic_consistency([features, features[:, order]], 2, 0.5) for order in (range(6), [1, 0, 3, 2, 5, 4])
    )
    assert same < shuffled


def test_sizes_may_differ() -> None:
    assert semantic_consistency([draw(0, 1, 3, 2, 2, 2), draw(1, 1, 3, 5, 6, 7)], 4, 0.5).isfinite()


@pytest.mark.parametrize(
    ("features", "side"),
    [
        ([torch.zeros(1, 3, 4, 4, 4)], 4),
        ([torch.zeros(1, 3, 4, 4, 4)] * 2, 1),
        ([torch.zeros(1, 3, 1, 1, 1)] * 2, 4),
    ],
)
def test_too_few_are_refused(features: list[Tensor], side: int) -> None:
    with pytest.raises(ValueError, match="features must be"):
        semantic_consistency(features, side, 0.5)


def kept(side: int, channels: int = 16) -> int:
    """Bytes that the loss keeps for its gradient, without the features."""
    features = [draw(seed, 1, channels, side, side, side) for seed in range(2)]
    inputs, sizes = {values.data_ptr() for values in features}, {}

    def note(tensor: Tensor) -> Tensor:
        if tensor.data_ptr() not in inputs:
            sizes[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        semantic_consistency(features, 4, 0.5)
    return sum(sizes.values())


def test_memory_does_not_grow_with_the_volume() -> None:
    assert kept(side=24) == kept(side=4)
    square = 8 * (2 * 16) ** 2  # float64 similarities of all channels
    assert kept(side=24) < 8 * square
