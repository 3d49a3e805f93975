"""Feature propagation, compared with the unfolded form and with arrays of the published code."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from fovea.models import propagation_torch
from fovea.models.propagation import propagate

REFERENCE = Path(__file__).parents[1] / "reference"


def naive(features: Tensor, kernel_size: int, dilation: int, similarity: str) -> Tensor:
    """The usual form: unfold the window, compare, weight."""
    batch, channels, height, width = features.shape
    reach = kernel_size // 2 * dilation

    def window(x: Tensor) -> Tensor:
        return F.unfold(x, kernel_size, dilation, reach).view(batch, channels, -1, height, width)

    keys = features / features.norm(dim=1, keepdim=True) if similarity == "cosine" else features
    weights = (keys.unsqueeze(2) * window(keys)).sum(dim=1).relu().softmax(dim=1)
    return (weights.unsqueeze(1) * window(features)).sum(dim=2)


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def differentiated(function: Callable[..., Tensor], features: Tensor, *arguments: object) -> tuple[Tensor, Tensor]:
    """The output, and the gradient of a weighted sum of it."""
    features = features.detach().requires_grad_()
    output = function(features, *arguments)
    (gradient,) = torch.autograd.grad(output, features, noise(*output.shape, seed=1).to(output))
    return output.detach(), gradient


@pytest.mark.parametrize("similarity", ["dot", "cosine"])
@pytest.mark.parametrize(("kernel_size", "dilation"), [(1, 1), (3, 1), (5, 2), (3, 4), (7, 1)])
@pytest.mark.parametrize("shape", [(2, 3, 7, 9), (1, 5, 2, 3), (1, 8, 40, 6), (1, 1, 1, 1)])
def test_unfolded_form(shape: tuple[int, ...], kernel_size: int, dilation: int, similarity: str) -> None:
    features, window = noise(*shape), (kernel_size, dilation, similarity == "cosine")
    expected, expected_gradient = differentiated(naive, features, kernel_size, dilation, similarity)
    ours, gradient = differentiated(propagate, features, kernel_size, dilation, similarity)
    plain, scores = propagation_torch.forward(features, *window)
    plain_gradient = propagation_torch.backward(noise(*shape, seed=1), features, scores, *window)
    for output in (ours, plain):
        torch.testing.assert_close(output, expected)
    for values in (gradient, plain_gradient):
        torch.testing.assert_close(values, expected_gradient)


@pytest.mark.parametrize("similarity", ["dot", "cosine"])
@pytest.mark.parametrize(("kernel_size", "dilation"), [(3, 1), (5, 2)])
def test_gradcheck(kernel_size: int, dilation: int, similarity: str) -> None:
    features = noise(1, 2, 4, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda f: propagate(f, kernel_size, dilation, similarity), features)


@pytest.mark.slow
def test_operator_for_torch_compile() -> None:
    values = noise(1, 4, 6, 5).requires_grad_()
    torch.library.opcheck(torch.ops.fovea.propagate.default, (values, 3, 2, False))


def test_any_layout() -> None:
    features = noise(2, 6, 8, 10, dtype=torch.float32)
    known = differentiated(propagate, features)
    for view in (
        features.contiguous(memory_format=torch.channels_last),
        features.transpose(2, 3).contiguous().transpose(2, 3),
        torch.cat([features, features], dim=3)[..., :10],
    ):
        assert not view.is_contiguous()
        torch.testing.assert_close(differentiated(propagate, view), known)
    features.requires_grad_()
    expanded = torch.autograd.grad(propagate(features).sum(), features)  # the gradient of a sum is one number, expanded
    torch.testing.assert_close(expanded, torch.autograd.grad(naive(features, 5, 2, "dot").sum(), features))


def test_saved_memory() -> None:
    features, kept = noise(1, 64, 12, 12, dtype=torch.float32).requires_grad_(), []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.nbytes) or x, lambda x: x):
        propagate(features)
    assert sum(kept) == features.nbytes + 25 * 12 * 12 * 4


def test_threads() -> None:
    features, threads, before = noise(2, 4, 50, 8, dtype=torch.float32), torch.get_num_threads(), threading.enumerate()
    try:
        results = []
        for number in (1, 3):
            torch.set_num_threads(number)
            results.append(differentiated(propagate, features))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))
    assert threading.enumerate() == before


def test_zero_features() -> None:
    features = noise(1, 3, 6, 6)
    features[..., 2:4] = 0
    for similarity in ("dot", "cosine"):
        output, gradient = differentiated(propagate, features, 5, 2, similarity)
        assert output.isfinite().all()
        assert gradient.isfinite().all()


def test_nan_stays_local() -> None:
    features = noise(1, 3, 9, 9)
    features[0, 0, 4, 4] = torch.nan
    output = propagate(features, 3, 2)
    assert output[0, 0, 2::2, 2::2][:3, :3].isnan().all()
    assert output[..., 0, 0].isfinite().all()


def test_empty_inputs() -> None:
    for shape in ((0, 3, 5, 5), (1, 3, 0, 5), (1, 3, 5, 0)):
        output, gradient = differentiated(propagate, torch.zeros(shape))
        assert output.shape == gradient.shape == shape


@pytest.mark.slow
def test_numba_is_imported_late_and_needs_no_cache() -> None:
    script = """
import sys
import torch
from fovea.models.propagation import propagate
assert "numba" not in sys.modules
assert torch.equal(propagate(torch.ones(1, 1, 2, 2), 1), torch.ones(1, 1, 2, 2))
assert "numba" in sys.modules
"""
    no_cache = os.environ | {"NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator", "NUMBA_CACHE_DIR": ""}
    subprocess.run([sys.executable, "-c", script], check=True, env=no_cache)


def test_published_values() -> None:
    with np.load(REFERENCE / "propagation.npz") as arrays:
        known = {name: torch.from_numpy(array) for name, array in arrays.items()}
    features = known["feature"].requires_grad_()
    output = propagate(features)
    (output * known["weight"]).sum().backward()
    assert features.grad is not None
    for result, expected in ((output, known["output"]), (features.grad, known["grad"])):
        assert (result - expected).abs().max() < 1e-4 * expected.abs().max()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    features = noise(1, 16, 8, 8, dtype=torch.float32).to(dtype)
    known = differentiated(propagate, features.float())
    ours = differentiated(propagate, features)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = differentiated(propagate, features)
    assert ours[0].dtype == ours[1].dtype == dtype
    torch.testing.assert_close(ours[0], known[0].to(dtype))
    torch.testing.assert_close(ours[1].float(), known[1], rtol=2e-2, atol=2e-2)
    torch.testing.assert_close(mixed, ours)
    large = torch.full((1, 4, 6, 6), 300.0, dtype=dtype)
    torch.testing.assert_close(propagate(large), large)


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        ({"features": torch.zeros(1, 4, 4)}, r"^features must be \[B, C, H, W\], got \[1, 4, 4\]"),
        ({"kernel_size": 4}, "kernel_size.* got 4"),
        ({"kernel_size": -1}, "kernel_size.* got -1"),
        ({"dilation": 0}, "dilation.* got 0"),
        ({"similarity": "euclid"}, "similarity.* got euclid"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict, key: str) -> None:
    with pytest.raises(ValueError, match=key):
        propagate(**{"features": torch.zeros(1, 1, 4, 4)} | arguments)
