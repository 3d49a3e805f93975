"""Losses of cross-modality collaboration, compared with naive loops and with MONAI."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from fovea.losses.cross_modality import ntxent, overlap_consistency, prototype_consistency, semantic_consistency


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def contrast(first: list[Tensor], second: list[Tensor], temperature: float) -> list[Tensor]:
    """The terms of all descriptors of two views of one image."""
    views = [view / view.norm() for view in [*first, *second]]
    terms = []
    for i, anchor in enumerate(views):
        near = [(anchor @ other / temperature).exp() for other in views]
        terms.append(torch.stack([*near[:i], *near[i + 1 :]]).sum().log() - near[(i + len(first)) % len(views)].log())
    return terms


def naive_ntxent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """The formula, descriptor by descriptor."""
    pairs = zip(first, second, strict=True)
    return torch.stack([term for a, b in pairs for term in contrast(list(a), list(b), temperature)]).mean()


@pytest.mark.parametrize("temperature", [0.1, 0.5])
@pytest.mark.parametrize("shape", [(1, 2, 3), (3, 5, 4)])
def test_ntxent_of_the_formula(shape: tuple[int, ...], temperature: float) -> None:
    pair = draw(0, *shape), draw(1, *shape)
    loss, expected = ntxent(*pair, temperature), naive_ntxent(*pair, temperature)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(*(torch.autograd.grad(value, pair) for value in (loss, expected)))


def test_ntxent_of_known_views() -> None:
    orthogonal = torch.eye(3)[None]
    # Of 5 others, one is the positive at 1 / 0.5 = 2, four are orthogonal.
    assert ntxent(orthogonal, orthogonal, 0.5).item() == pytest.approx(math.log(math.exp(2) + 4) - 2)
    assert ntxent(torch.ones(1, 3, 2), torch.ones(1, 3, 2), 0.5).item() == pytest.approx(math.log(5))


def test_ntxent_of_other_norms_dead_channels_and_half_precision() -> None:
    first, second = draw(0, 1, 4, 3).detach(), draw(1, 1, 4, 3).detach()
    expected = ntxent(first, second, 0.5)
    torch.testing.assert_close(ntxent(7 * first, second / 3, 0.5), expected)
    half = ntxent(first.half(), second.half(), 0.5)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half.double(), expected, rtol=1e-2, atol=0)
    first[0, 0] = 0
    first.requires_grad_()
    ntxent(first, second, 0.5).backward()
    assert first.grad is not None and first.grad.isfinite().all() and first.grad.abs().max() < 1e5


def descriptors(volume: Tensor, side: int) -> list[Tensor]:
    """The means of the cells of each channel; sides are multiples."""
    steps = [size // side for size in volume.shape[1:]]
    cells = torch.cartesian_prod(*[torch.arange(side)] * 3).tolist()
    slices = [tuple(slice(k * step, (k + 1) * step) for k, step in zip(cell, steps, strict=True)) for cell in cells]
    return [torch.stack([channel[place].mean() for place in slices]) for channel in volume]


def naive_semantic(features: list[Tensor], side: int, temperature: float) -> Tensor:
    """Cell means, unit norm, and each channel against all others."""
    terms = []
    for m in range(len(features)):
        for n in range(m + 1, len(features)):
            for image in range(len(features[0])):
                terms += contrast(*(descriptors(features[k][image], side) for k in (m, n)), temperature)
    return torch.stack(terms).mean()


@pytest.mark.parametrize(("modalities", "side"), [(2, 2), (3, 2), (2, 4)])
def test_channels_of_the_definition(modalities: int, side: int) -> None:
    features = [draw(seed, 2, 3, 4, 4, 8) for seed in range(modalities)]
    loss, expected = semantic_consistency(features, side, 0.5), naive_semantic(features, side, 0.5)
    torch.testing.assert_close(loss, expected)
    gradients = (torch.autograd.grad(value, features) for value in (loss, expected))
    torch.testing.assert_close(*gradients)
    assert semantic_consistency([draw(0, 1, 3, 2, 2, 2), draw(1, 1, 3, 5, 6, 7)], 4, 0.5).isfinite()  # of other sizes


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


def classes(seed: int, scale: float = 1.0) -> Tensor:
    return (scale * draw(seed, 2, 3, 4, 4, 8)).softmax(dim=1).requires_grad_()


def features(seed: int) -> Tensor:
    return draw(seed, 2, 5, 2, 2, 4).requires_grad_()


def naive_overlap(probabilities: list[Tensor]) -> Tensor:
    terms = []
    for m in range(len(probabilities)):
        for n in range(m + 1, len(probabilities)):
            for a, b in zip(probabilities[m], probabilities[n], strict=True):
                for k in range(1, len(a)):
                    terms.append(1 - 2 * (a[k] * b[k]).sum() / ((a[k] ** 2).sum() + (b[k] ** 2).sum()))
    return torch.stack(terms).mean()


def naive_prototypes(feature: Tensor, probability: Tensor) -> list[Tensor]:
    """[C] of each class, of one volume whose features are at half the resolution."""
    prototypes = []
    for k in range(len(probability)):
        weights = torch.zeros(feature.shape[1:], dtype=torch.float64)
        for z, y, x in torch.cartesian_prod(*(torch.arange(size) for size in weights.shape)).tolist():
            block = probability[k, 2 * z : 2 * z + 2, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2]
            weights[z, y, x] = block.mean()
        prototypes.append((weights * feature).sum(dim=(1, 2, 3)) / weights.sum())
    return prototypes


def naive_prototype(all_features: list[Tensor], probabilities: list[Tensor], temperature: float) -> Tensor:
    terms = []
    for m in range(len(all_features)):
        for n in range(m + 1, len(all_features)):
            for image in range(len(all_features[0])):
                views = [naive_prototypes(all_features[k][image], probabilities[k][image]) for k in (m, n)]
                terms += contrast(*views, temperature)
    return torch.stack(terms).mean()


@pytest.mark.parametrize("modalities", [2, 3])
def test_overlap_of_the_definition(modalities: int) -> None:
    probabilities = [classes(seed) for seed in range(modalities)]
    loss, expected = overlap_consistency(probabilities), naive_overlap(probabilities)
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=1e-5)  # the loss is smoothed by 1e-5
    gradients = (torch.autograd.grad(value, probabilities) for value in (loss, expected))
    torch.testing.assert_close(*gradients, atol=1e-5, rtol=1e-4)


def test_overlap_memory() -> None:
    inputs = [classes(0), classes(1)]
    kept: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda values: kept.append(values) or values, lambda values: values):
        overlap_consistency(inputs)
    large = [values.data_ptr() for values in kept if values.numel() > 100]
    assert sorted(large) == sorted(values.data_ptr() for values in inputs)


def test_overlap_in_half_precision() -> None:
    first, second = classes(0).float(), classes(1).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = overlap_consistency([first, second])
    torch.testing.assert_close(mixed, overlap_consistency([first, second]), atol=0, rtol=0)
    assert overlap_consistency([first.bfloat16(), second.bfloat16()]).dtype == torch.float32


@pytest.mark.parametrize("modalities", [2, 3])
def test_prototype_of_the_definition(modalities: int) -> None:
    inputs = [features(seed) for seed in range(modalities)], [classes(seed) for seed in range(modalities)]
    loss, expected = prototype_consistency(*inputs, 0.3), naive_prototype(*inputs, 0.3)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(*(torch.autograd.grad(value, inputs[0] + inputs[1]) for value in (loss, expected)))


@torch.no_grad()
def test_alignment_matters_for_the_overlap_only() -> None:
    probabilities, feature = [classes(0, 4.0), classes(0, 4.0)], [features(0), features(1)]
    rolled = [probabilities[0], probabilities[1].roll((2, 2), (2, 4))]
    moved = [feature[0], feature[1].roll((1, 1), (2, 4))]
    torch.testing.assert_close(
        prototype_consistency(moved, rolled, 0.5), prototype_consistency(feature, probabilities, 0.5)
    )
    assert overlap_consistency(rolled) > overlap_consistency(probabilities) + 0.1


def test_absent_class() -> None:
    absent = torch.tensor([1.0, 0.0, 0.0]).reshape(1, 3, 1, 1, 1).expand(2, 3, 4, 4, 8).contiguous().requires_grad_()
    feature = [features(0).float().detach().requires_grad_(), features(1).float().detach().requires_grad_()]
    loss = prototype_consistency(feature, [absent, absent], 0.5) + overlap_consistency([absent, absent])
    loss.backward()
    assert loss.isfinite()
    assert absent.grad is not None and absent.grad.isfinite().all()
    assert all(values.grad is not None and values.grad.isfinite().all() for values in feature)


ONE = [torch.rand(1, 3, 4, 4, 4)]


@pytest.mark.parametrize(
    ("compute", "message"),
    [
        (lambda: ntxent(torch.zeros(1, 4, 3), torch.zeros(1, 4, 2), 0.5), "one shape"),
        (lambda: ntxent(torch.zeros(1, 3), torch.zeros(1, 3), 0.5), "one shape"),
        (lambda: semantic_consistency(ONE, 4, 0.5), "features must be"),
        (lambda: semantic_consistency(ONE * 2, 1, 0.5), "features must be"),
        (lambda: semantic_consistency([torch.zeros(1, 3, 1, 1, 1)] * 2, 4, 0.5), "features must be"),
        (lambda: overlap_consistency(ONE), "two or more modalities"),
        (lambda: overlap_consistency([ONE[0][:, :1]] * 2), "two or more modalities"),
        (lambda: overlap_consistency([ONE[0], torch.rand(1, 3, 4, 4, 8)]), "one shape"),
        (lambda: prototype_consistency(ONE, ONE, 0.5), "two or more modalities"),
    ],
)
def test_refused(compute: Callable[[], Tensor], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compute()
