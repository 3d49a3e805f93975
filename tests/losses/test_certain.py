"""A loss on the certain pixels, held against loops over pixels."""

import pytest
import torch
from monai.losses import DiceLoss, FocalLoss
from torch import Tensor, nn

from fovea.losses.certain import on_certain


def cross_entropy(probability: Tensor, target: Tensor) -> Tensor:
    return torch.stack([-(p if y else 1 - p).log() for p, y in zip(probability, target, strict=True)]).mean()


def focal(probability: Tensor, target: Tensor) -> Tensor:
    right = [p if y else 1 - p for p, y in zip(probability, target, strict=True)]
    return torch.stack([-((1 - p) ** 2) * p.log() for p in right]).mean()


def dice(probability: Tensor, target: Tensor) -> Tensor:
    overlap = torch.stack([p * y for p, y in zip(probability, target, strict=True)]).sum()
    return 1 - (2 * overlap + 1) / (probability.sum() + target.sum() + 1)


LOSSES = {
    "cross-entropy": (nn.BCEWithLogitsLoss(), cross_entropy),
    "focal": (FocalLoss(gamma=2.0), focal),
    "dice": (DiceLoss(sigmoid=True, batch=True, smooth_nr=1.0, smooth_dr=1.0), dice),
}


def draw() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits, target, certain = (torch.randn(3, 1, 4, 5, dtype=torch.float64, generator=generator) for _ in range(3))
    return logits.requires_grad_(), (target > 0).double(), certain > 0


@pytest.mark.parametrize("name", LOSSES)
def test_equals_a_loop_over_the_certain_pixels(name: str) -> None:
    library, naive = LOSSES[name]
    logits, target, certain = draw()
    kept = [place for place in zip(*torch.where(torch.ones_like(certain)), strict=True) if certain[place]]
    probability = torch.stack([logits[place].sigmoid() for place in kept])

    ours = on_certain(library, logits, target, certain)
    theirs = naive(probability, torch.stack([target[place] for place in kept]))

    torch.testing.assert_close(ours.double(), theirs, rtol=1e-6, atol=1e-7)  # MONAI's focal loss is single precision
    gradients = [torch.autograd.grad(value, logits, retain_graph=True)[0] for value in (ours, theirs)]
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-7)
    assert not gradients[0][~certain].any()


@pytest.mark.parametrize("name", LOSSES)
def test_all_pixels_certain_is_the_loss_itself(name: str) -> None:
    library, _ = LOSSES[name]
    logits, target, certain = draw()
    found = on_certain(library, logits, target, torch.ones_like(certain))
    torch.testing.assert_close(found, library(logits, target))


def test_without_a_certain_pixel_it_is_zero_with_a_graph() -> None:
    logits, target, certain = draw()
    found = on_certain(nn.BCEWithLogitsLoss(), logits, target, torch.zeros_like(certain))
    found.backward()
    assert found.item() == 0
    assert logits.grad is not None and not logits.grad.any()
