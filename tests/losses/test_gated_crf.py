"""The gated CRF loss against a loop over all pairs of pixels."""

import math
from itertools import product

import pytest
import torch

from fovea.losses.gated_crf import GatedCRF

LOSS = GatedCRF(weight=0.1, reach=2, sigma_place=6.0, sigma_color=0.4)


@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("size", [(5, 4), (1, 6), (3, 2, 4)], ids=str)
def test_loss_and_gradient_of_pairs(classes: int, size: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, classes, *size, dtype=torch.float64, requires_grad=True)
    image = torch.randn(2, 3, *size, dtype=torch.float64)
    p = torch.cat([1 - logits.sigmoid(), logits.sigmoid()], dim=1) if classes == 1 else logits.softmax(dim=1)
    total = torch.zeros((), dtype=torch.float64)
    for b, x, y in product(range(2), *[list(product(*map(range, size)))] * 2):
        if x != y and all(abs(i - j) <= 2 for i, j in zip(x, y, strict=True)):
            here, there = (b, slice(None), *x), (b, slice(None), *y)
            color = (image[here] - image[there]).square().sum() / (2 * 0.4**2)
            total = total + torch.exp(-color - math.dist(x, y) ** 2 / (2 * 6**2)) * (1 - p[here] @ p[there])
    expected = 0.1 * total / (2 * math.prod(size))
    found = LOSS(logits, image)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(*[torch.autograd.grad(loss, logits)[0] for loss in (found, expected)])


def test_a_border_costs_less_along_an_edge_of_the_image() -> None:
    image = torch.zeros(1, 3, 8, 8)
    image[..., 4:] = 2.0
    along, across = torch.full((1, 1, 8, 8), -9.0), torch.full((1, 1, 8, 8), -9.0)
    along[..., 4:], across[..., 4:, :] = 9.0, 9.0
    assert LOSS(along, image) < 0.01 * LOSS(across, image)
