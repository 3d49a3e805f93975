"""Supervised contrast against a loop over pixels."""

import pytest
import torch

from fovea.losses.contrast import supervised_contrast


@pytest.mark.parametrize("labels", [[0, 1, 1, 0, 1], [1, 1, 1], [0, 1, 2]], ids=str)
def test_loss_and_gradient_of_all_pixels(labels: list[int]) -> None:
    torch.manual_seed(0)
    first, second = torch.randn(2, len(labels), 6, dtype=torch.float64, requires_grad=True)
    cosine = torch.nn.functional.cosine_similarity
    terms = []
    for a, label in zip(first, labels, strict=True):
        scores = torch.stack([cosine(a, b, dim=0).div(0.1).exp() for b in second])
        alike = torch.tensor([other == label for other in labels])
        terms.append(-(scores / scores.sum()).log()[alike].mean())
    expected, found = torch.stack(terms).mean(), supervised_contrast(first, second, torch.tensor(labels), 0.1)
    torch.testing.assert_close(found, expected)


def test_without_pixels_it_is_0() -> None:
    features = torch.randn(0, 6, requires_grad=True)
    assert supervised_contrast(features, features, torch.zeros(0), 0.1).item() == 0
