import pytest
import torch
from monai.losses import DiceLoss
from torch import Tensor

from fovea.losses.anatomical_consistency import overlap_consistency, prototype_consistency


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
    found = []
    for k in range(len(probability)):
        weights = torch.zeros(feature.shape[1:], dtype=torch.float64)
        for z, y, x in torch.cartesian_prod(*(torch.arange(size) for size in weights.shape)).tolist():
            block = probability[k, 2 * z : 2 * z + 2, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2]
            weights[z, y, x] = block.mean()
        found.append((weights * feature).sum(dim=(1, 2, 3)) / weights.sum())
    return found


def naive_prototype(all_features: list[Tensor], probabilities: list[Tensor], temperature: float) -> Tensor:
    terms = []
    for m in range(len(all_features)):
        for n in range(m + 1, len(all_features)):
            for image in range(len(all_features[0])):
                views = naive_prototypes(all_features[m][image], probabilities[m][image])
                views += naive_prototypes(all_features[n][image], probabilities[n][image])
                views = [each / each.norm() for each in views]
                half = len(views) // 2
                for i, anchor in enumerate(views):
                    near = {j: (anchor @ other / temperature).exp() for j, other in enumerate(views) if j != i}
                    terms.append(-torch.log(near[(i + half) % len(views)] / sum(near.values())))
    return torch.stack(terms).mean()


@pytest.mark.parametrize("modalities", [2, 3])
def test_overlap_equals_the_definition_written_out(modalities: int) -> None:
    probabilities = [classes(seed) for seed in range(modalities)]

    ours, theirs = overlap_consistency(probabilities), naive_overlap(probabilities)

    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)  # ours is smoothed by 1e-5
    gradients = zip(torch.autograd.grad(ours, probabilities), torch.autograd.grad(theirs, probabilities), strict=True)
    for mine, expected in gradients:
        torch.testing.assert_close(mine, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("scale", [0.0, 1.0, 10.0, 200.0])
def test_overlap_equals_the_dice_loss_of_monai(scale: float) -> None:
    first, second = classes(0, scale), classes(1, scale)

    ours = overlap_consistency([first, second])
    theirs = DiceLoss(include_background=False, squared_pred=True)(first, second)

    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(torch.autograd.grad(ours, [first, second]), torch.autograd.grad(theirs, [first, second]))


def test_overlap_has_the_gradient_of_its_values_for_those_who_want_one() -> None:
    first, second, third = (classes(seed).detach() for seed in range(3))

    assert torch.autograd.gradcheck(lambda a, b: overlap_consistency([a, second, b]), (first.requires_grad_(), third))
    assert torch.autograd.grad(overlap_consistency([first, second]), first)[0].any()


def test_overlap_keeps_nothing_of_the_size_of_its_inputs_but_themselves() -> None:
    given = [classes(0), classes(1)]
    kept: list[Tensor] = []

    def keep(each: Tensor) -> Tensor:
        kept.append(each)
        return each

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda each: each):
        overlap_consistency(given)

    large = [each.data_ptr() for each in kept if each.numel() > 100]
    assert sorted(large) == sorted(each.data_ptr() for each in given)


def test_overlap_is_never_of_half_precision() -> None:
    first, second = classes(0).float(), classes(1).float()

    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = overlap_consistency([first, second])

    torch.testing.assert_close(mixed, overlap_consistency([first, second]), atol=0, rtol=0)
    assert overlap_consistency([first.bfloat16(), second.bfloat16()]).dtype == torch.float32


@pytest.mark.parametrize("modalities", [2, 3])
@torch.no_grad()
def test_prototype_equals_the_definition_written_out(modalities: int) -> None:
    given = [features(seed) for seed in range(modalities)], [classes(seed) for seed in range(modalities)]

    torch.testing.assert_close(prototype_consistency(*given, 0.3), naive_prototype(*given, 0.3))


def test_overlap_of_equal_probabilities_is_complete_sure_or_not() -> None:
    for scale in (0.1, 10.0):
        assert overlap_consistency([classes(0, scale), classes(0, scale)]).item() == pytest.approx(0, abs=1e-5)
    assert overlap_consistency([classes(0, 10.0), classes(1, 10.0)]) > 0.3


@torch.no_grad()
def test_where_a_volume_lies_matters_to_the_overlap_alone() -> None:
    probabilities, seen = [classes(0, 4.0), classes(0, 4.0)], [features(0), features(1)]
    rolled = [probabilities[0], probabilities[1].roll((2, 2), (2, 4))]
    moved = [seen[0], seen[1].roll((1, 1), (2, 4))]

    torch.testing.assert_close(prototype_consistency(moved, rolled), prototype_consistency(seen, probabilities))
    assert overlap_consistency(rolled) > overlap_consistency(probabilities) + 0.1


def test_both_give_every_modality_a_gradient() -> None:
    probabilities, seen = [classes(0), classes(1)], [features(0), features(1)]

    for loss in (overlap_consistency(probabilities), prototype_consistency(seen, probabilities)):
        assert all(each.any() for each in torch.autograd.grad(loss, probabilities))
    assert all(each.any() for each in torch.autograd.grad(prototype_consistency(seen, probabilities), seen))


def test_a_class_that_is_nowhere_does_no_harm() -> None:
    nowhere = torch.tensor([1.0, 0.0, 0.0]).reshape(1, 3, 1, 1, 1).expand(2, 3, 4, 4, 8).contiguous().requires_grad_()
    seen = [features(0).float().detach().requires_grad_(), features(1).float().detach().requires_grad_()]

    loss = prototype_consistency(seen, [nowhere, nowhere]) + overlap_consistency([nowhere, nowhere])
    loss.backward()

    assert loss.isfinite()
    assert nowhere.grad is not None and nowhere.grad.isfinite().all()
    assert all(each.grad is not None and each.grad.isfinite().all() for each in seen)


@pytest.mark.parametrize("given", [[torch.rand(1, 2, 4, 4, 4)], [torch.rand(1, 1, 4, 4, 4)] * 2])
def test_refuses_one_modality_and_one_class(given: list[Tensor]) -> None:
    with pytest.raises(ValueError, match="are needed"):
        overlap_consistency(given)
    with pytest.raises(ValueError, match="are needed"):
        prototype_consistency([torch.rand(1, 3, 2, 2, 2)] * len(given), given)


def test_refuses_volumes_of_several_shapes() -> None:
    with pytest.raises(ValueError, match="of one shape"):
        overlap_consistency([torch.rand(1, 3, 4, 4, 4), torch.rand(1, 3, 4, 4, 8)])
