"""A loss with unlabeled pixels, compared with the loss on the labeled pixels taken one by one."""

from functools import partial

import pytest
import torch
from monai.losses import DiceCELoss, DiceLoss
from torch import Tensor, nn
from torch.nn import functional as F

from fovea.losses.dice_cross_entropy import DiceCrossEntropy
from fovea.losses.ignore import IGNORE, IgnoreLabel

soft_dice = partial(DiceLoss, sigmoid=True, batch=True, smooth_nr=1.0, smooth_dr=1.0)
dice_ce = partial(DiceCrossEntropy, softmax=True, to_onehot_y=True, batch=True, smooth_nr=1.0, smooth_dr=1.0)


def naive_bce(logits: list[Tensor], labels: list[Tensor]) -> Tensor:
    pairs = zip(logits, labels, strict=True)
    return torch.stack([F.softplus(-z[0]) * y + F.softplus(z[0]) * (1 - y) for z, y in pairs]).mean()


def naive_dice(logits: list[Tensor], labels: list[Tensor]) -> Tensor:
    probability, target = torch.stack(logits)[:, 0].sigmoid(), torch.stack(labels)
    return 1 - (2 * (probability * target).sum() + 1) / ((probability + target).sum() + 1)


def naive_ce(logits: list[Tensor], labels: list[Tensor]) -> Tensor:
    return torch.stack([-z.log_softmax(0)[y] for z, y in zip(logits, labels, strict=True)]).mean()


def naive_dice_ce(logits: list[Tensor], labels: list[Tensor]) -> Tensor:
    probability, target = torch.stack(logits).softmax(1), F.one_hot(torch.stack(labels), 3)
    dice = (2 * (probability * target).sum(0) + 1) / ((probability + target).sum(0) + 1)
    return (1 - dice).mean() + naive_ce(logits, labels)


LOSSES = {
    "bce": (nn.BCEWithLogitsLoss, naive_bce, 1),
    "dice": (soft_dice, naive_dice, 1),
    "ce": (nn.CrossEntropyLoss, naive_ce, 3),
    "dice_ce": (dice_ce, naive_dice_ce, 3),
}


def draw(classes: int, size: tuple[int, ...], ignored: float = 0.4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, classes, *size, generator=generator, dtype=torch.float64).requires_grad_()
    target = torch.randint(max(classes, 2), (2, *size), generator=generator)
    target[torch.rand(target.shape, generator=generator) < ignored] = IGNORE
    return logits, target.unsqueeze(1).double() if classes == 1 else target


@pytest.mark.parametrize("size", [(5, 7), (3, 4, 5)], ids=["image", "volume"])
@pytest.mark.parametrize("name", LOSSES)
def test_loss_and_gradient_of_labeled_pixels(name: str, size: tuple[int, ...]) -> None:
    build, naive, classes = LOSSES[name]
    logits, target = draw(classes, size)
    labels = target[:, 0] if classes == 1 else target
    places = (labels != IGNORE).nonzero().tolist()
    expected = naive([logits[b, :, *place] for b, *place in places], [labels[b, *place] for b, *place in places])
    loss = IgnoreLabel(build())(logits, target)
    torch.testing.assert_close(loss, expected)
    gradients = (torch.autograd.grad(value, logits)[0] for value in (loss, expected))
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("name", LOSSES)
def test_pass_through_is_bit_exact(name: str) -> None:
    build, _, classes = LOSSES[name]
    logits, target = draw(classes, (5, 7), ignored=0.0)
    assert torch.equal(IgnoreLabel(build())(logits, target), build()(logits, target))


def test_no_labeled_pixel_has_no_gradient() -> None:
    logits, target = draw(1, (5, 7), ignored=1.0)
    loss = IgnoreLabel(nn.BCEWithLogitsLoss())(logits, target)
    loss.backward()
    assert loss.item() == 0 and not logits.grad.any()


def test_dice_by_image_sees_one_image() -> None:
    logits, target = draw(1, (5, 7))
    labeled = target != IGNORE
    loss = DiceCELoss(sigmoid=True)
    expected = loss(logits[labeled].view(1, 1, -1, 1), target[labeled].view(1, 1, -1, 1))
    torch.testing.assert_close(IgnoreLabel(loss)(logits, target), expected)
