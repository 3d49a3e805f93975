from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from fovea.models.propagation import propagate
from fovea.runtime.errors import FoveaError

REFERENCE = Path(__file__).parents[1] / "reference"


def naive(features: Tensor, kernel_size: int, dilation: int, similarity: str) -> Tensor:
    """The textbook form: unfold the window, compare, weigh."""
    batch, channels, height, width = features.shape
    reach = kernel_size // 2 * dilation

    def window(x: Tensor) -> Tensor:
        return F.unfold(x, kernel_size, dilation, reach).view(batch, channels, -1, height, width)

    keys = features / features.norm(dim=1, keepdim=True) if similarity == "cosine" else features
    weights = (keys.unsqueeze(2) * window(keys)).sum(dim=1).relu().softmax(dim=1)
    return (weights.unsqueeze(1) * window(features)).sum(dim=2)


@pytest.mark.parametrize("similarity", ["dot", "cosine"])
@pytest.mark.parametrize(("kernel_size", "dilation"), [(1, 1), (3, 1), (5, 2), (3, 4)])
def test_equals_the_unfolded_form(kernel_size: int, dilation: int, similarity: str) -> None:
    features = torch.randn(2, 3, 7, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    ours = propagate(features, kernel_size, dilation, similarity)

    torch.testing.assert_close(ours, naive(features, kernel_size, dilation, similarity))


@pytest.mark.parametrize("similarity", ["dot", "cosine"])
def test_gradient_is_that_of_the_function(similarity: str) -> None:
    features = torch.randn(1, 2, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    assert torch.autograd.gradcheck(lambda f: propagate(f, 3, 1, similarity), features.requires_grad_())


def test_output_and_gradient_are_the_published_ones() -> None:
    with np.load(REFERENCE / "propagation.npz") as arrays:
        known = {name: torch.from_numpy(array) for name, array in arrays.items()}
    features = known["feature"].requires_grad_()

    output = propagate(features)
    (output * known["weight"]).sum().backward()

    assert features.grad is not None
    for ours, theirs in ((output, known["output"]), (features.grad, known["grad"])):
        assert (ours - theirs).abs().max() < 1e-4 * theirs.abs().max()


def test_half_precision_survives_large_features() -> None:
    features = torch.full((1, 4, 6, 6), 300.0, dtype=torch.float16)

    output = propagate(features)

    assert output.dtype == torch.float16
    torch.testing.assert_close(output, features)


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        ({"kernel_size": 4}, "kernel_size=4"),
        ({"kernel_size": -1}, "kernel_size=-1"),
        ({"dilation": 0}, "dilation=0"),
        ({"similarity": "euclid"}, "similarity=euclid"),
    ],
)
def test_refuses_what_makes_no_window(arguments: dict, key: str) -> None:
    with pytest.raises(FoveaError, match=key):
        propagate(torch.zeros(1, 1, 4, 4), **arguments)
