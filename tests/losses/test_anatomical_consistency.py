"""Anatomical consistency, compared with naive loops and with MONAI."""

import pytest
import torch
from monai.losses import DiceLoss
from torch import Tensor

from fovea.losses.anatomical_consistency import overlap_consistency, prototype_consistency

from .naive import contrast


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


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


@pytest.mark.parametrize("scale", [0.0, 1.0, 10.0, 200.0])
def test_overlap_of_monai(scale: float) -> None:
    first, second = classes(0, scale), classes(1, scale)
    loss = overlap_consistency([first, second])
    expected = DiceLoss(include_background=False, squared_pred=True)(first, second)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(
        torch.autograd.grad(loss, [first, second]), torch.autograd.grad(expected, [first, second])
    )


def test_overlap_gradient() -> None:
    first, second, third = (classes(seed).detach() for seed in range(3))
    assert torch.autograd.gradcheck(lambda a, b: overlap_consistency([a, second, b]), (first.requires_grad_(), third))
    assert torch.autograd.grad(overlap_consistency([first, second]), first)[0].any()


def test_overlap_memory() -> None:
    inputs = [classes(0), classes(1)]
    kept: list[Tensor] = []

    def keep(values: Tensor) -> Tensor:
        kept.append(values)
        return values

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda values: values):
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
@torch.no_grad()
def test_prototype_of_the_definition(modalities: int) -> None:
    inputs = [features(seed) for seed in range(modalities)], [classes(seed) for seed in range(modalities)]
    torch.testing.assert_close(prototype_consistency(*inputs, 0.3), naive_prototype(*inputs, 0.3))


def test_overlap_of_equal_probabilities() -> None:
    for scale in (0.1, 10.0):
        assert overlap_consistency([classes(0, scale), classes(0, scale)]).item() == pytest.approx(0, abs=1e-5)
    assert overlap_consistency([classes(0, 10.0), classes(1, 10.0)]) > 0.3


@torch.no_grad()
def test_alignment_matters_for_the_overlap_only() -> None:
    probabilities, feature = [classes(0, 4.0), classes(0, 4.0)], [features(0), features(1)]
    rolled = [probabilities[0], probabilities[1].roll((2, 2), (2, 4))]
    moved = [feature[0], feature[1].roll((1, 1), (2, 4))]
    torch.testing.assert_close(
        prototype_consistency(moved, rolled, 0.5), prototype_consistency(feature, probabilities, 0.5)
    )
    assert overlap_consistency(rolled) > overlap_consistency(probabilities) + 0.1


def test_all_modalities_get_a_gradient() -> None:
    probabilities, feature = [classes(0), classes(1)], [features(0), features(1)]
    for loss in (overlap_consistency(probabilities), prototype_consistency(feature, probabilities, 0.5)):
        assert all(values.any() for values in torch.autograd.grad(loss, probabilities))
    assert all(
        values.any() for values in torch.autograd.grad(prototype_consistency(feature, probabilities, 0.5), feature)
    )


def test_absent_class() -> None:
    absent = torch.tensor([1.0, 0.0, 0.0]).reshape(1, 3, 1, 1, 1).expand(2, 3, 4, 4, 8).contiguous().requires_grad_()
    feature = [features(0).float().detach().requires_grad_(), features(1).float().detach().requires_grad_()]
    loss = prototype_consistency(feature, [absent, absent], 0.5) + overlap_consistency([absent, absent])
    loss.backward()
    assert loss.isfinite()
    assert absent.grad is not None and absent.grad.isfinite().all()
    assert all(values.grad is not None and values.grad.isfinite().all() for values in feature)


@pytest.mark.parametrize("inputs", [[torch.rand(1, 2, 4, 4, 4)], [torch.rand(1, 1, 4, 4, 4)] * 2])
def test_one_modality_or_class_is_refused(inputs: list[Tensor]) -> None:
    with pytest.raises(ValueError, match="two or more modalities"):
        overlap_consistency(inputs)
    with pytest.raises(ValueError, match="two or more modalities"):
        prototype_consistency([torch.rand(1, 3, 2, 2, 2)] * len(inputs), inputs, 0.5)


def test_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        overlap_consistency([torch.rand(1, 3, 4, 4, 4), torch.rand(1, 3, 4, 4, 8)])
