"""Losses of one class and of several, with unlabeled pixels, against formulas on the labeled pixels one by one."""

import pytest
import torch
from monai.losses import DiceCELoss
from torch import Tensor, nn

from fovea.losses.ignore import IGNORE, IgnoreLabel
from fovea.losses.segmentation import CrossEntropy, Dice, DiceCrossEntropy, Focal


def naive_ce(probability: Tensor, truth: Tensor) -> Tensor:
    return torch.stack([-p[y].log() for p, y in zip(probability, truth, strict=True)]).mean()


def naive_focal(probability: Tensor, truth: Tensor) -> Tensor:
    terms = [-((1 - p[y]) ** 2) * p[y].log() for p, y in zip(probability, truth, strict=True)]
    return torch.stack(terms).mean()


def naive_dice(probability: Tensor, truth: Tensor) -> Tensor:
    terms = []
    for label in range(1, probability.shape[1]):
        p, y = probability[:, label], (truth == label).double()
        terms.append(1 - (2 * (p * y).sum() + 1) / ((p + y).sum() + 1))
    return torch.stack(terms).mean()


SMOOTH = {"batch": True, "smooth_nr": 1.0, "smooth_dr": 1.0}
LOSSES = {
    "ce": (CrossEntropy(), naive_ce),
    "focal": (Focal(gamma=2.0), naive_focal),
    "dice": (Dice(**SMOOTH), naive_dice),
    "dice_ce": (DiceCrossEntropy(**SMOOTH), lambda p, y: naive_dice(p, y) + naive_ce(p, y)),
}


def draw(classes: int, size: tuple[int, ...], ignored: float = 0.4) -> tuple[Tensor, Tensor]:
    """Logits [B, K, *size] and the target, of one class with an axis of one channel."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, classes, *size, generator=generator, dtype=torch.float64).requires_grad_()
    target = torch.randint(max(classes, 2), (2, *size), generator=generator)
    target[torch.rand(target.shape, generator=generator) < ignored] = IGNORE
    return logits, target.unsqueeze(1).double() if classes == 1 else target


@pytest.mark.parametrize("size", [(5, 7), (3, 4, 5)], ids=["image", "volume"])
@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("name", LOSSES)
def test_loss_and_gradient_of_labeled_pixels(name: str, classes: int, size: tuple[int, ...]) -> None:
    loss, naive = LOSSES[name]
    logits, target = draw(classes, size)
    labels = (target[:, 0] if classes == 1 else target).long()
    column = logits.movedim(1, -1)[labels != IGNORE]
    both = torch.cat([torch.zeros_like(column), column], dim=1) if classes == 1 else column  # a sigmoid as a softmax
    expected = naive(both.softmax(dim=1), labels[labels != IGNORE])
    found = IgnoreLabel(loss)(logits, target)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-7)  # MONAI's focal loss is in float32
    gradients = [torch.autograd.grad(value, logits)[0] for value in (found, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("name", LOSSES)
def test_pass_through_is_bit_exact(name: str, classes: int) -> None:
    loss, (logits, target) = LOSSES[name][0], draw(classes, (5, 7), ignored=0.0)
    assert torch.equal(IgnoreLabel(loss)(logits, target), loss(logits, target))


def test_dice_by_image_sees_one_image_and_without_labeled_pixels_there_is_no_gradient() -> None:
    logits, target = draw(1, (5, 7))
    labeled = target != IGNORE
    loss = DiceCELoss(sigmoid=True)
    expected = loss(logits[labeled].view(1, 1, -1, 1), target[labeled].view(1, 1, -1, 1))
    torch.testing.assert_close(IgnoreLabel(loss)(logits, target), expected)
    nothing = IgnoreLabel(nn.BCEWithLogitsLoss())(logits, torch.full_like(target, IGNORE))
    nothing.backward()
    assert nothing.item() == 0 and logits.grad is not None and not logits.grad.any()


@pytest.mark.parametrize("loss", [Dice, Focal])
def test_weights_of_classes_are_for_several(loss: type[nn.Module]) -> None:
    logits, target = draw(3, (5, 7), ignored=0.0)
    assert loss(weight=[1.0, 9.0, 2.0][-3 if loss is Focal else -2 :])(logits, target).isfinite()
    with pytest.raises(ValueError, match=r"^weight is for several classes, and there is one"):
        loss(weight=[1.0, 2.0])(*draw(1, (5, 7), ignored=0.0))
