"""The kernels of Triton, compared with tensor operations in float64: on a GPU, or in Triton's interpreter on a CPU."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from fovea.models import propagation_torch
from fovea.models.propagation import propagate, triton_runs

pytest.importorskip("triton")
REFERENCE = Path(__file__).parents[1] / "reference"
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cuda" if torch.cuda.is_available() and not INTERPRETED else "cpu"
kernels = pytest.mark.skipif(DEVICE == "cpu" and not INTERPRETED, reason="needs a GPU, or TRITON_INTERPRET=1")


def differentiated(features: Tensor, grad: Tensor, *window: int) -> tuple[Tensor, Tensor]:
    """The output and the gradient of the features by the kernels."""
    from fovea.models.propagation_triton import Propagation

    features = features.to(DEVICE).requires_grad_()
    output = Propagation.apply(features, *window)
    (gradient,) = torch.autograd.grad(output, features, grad.to(features))
    assert output.stride() == gradient.stride()
    return output.detach().cpu(), gradient.cpu()


@kernels
@pytest.mark.parametrize(
    ("shape", "kernel", "dilation", "cosine", "dtype", "layout"),
    [
        ((2, 3, 7, 9), 5, 2, False, torch.float32, torch.contiguous_format),
        ((2, 20, 5, 4), 5, 2, False, torch.float32, torch.channels_last),
        ((1, 5, 20, 3), 3, 4, True, torch.float32, torch.contiguous_format),
        ((1, 130, 3, 4), 3, 1, True, torch.bfloat16, torch.channels_last),
        ((1, 4, 6, 5), 3, 1, False, torch.float16, torch.contiguous_format),
        ((1, 1, 1, 1), 1, 1, False, torch.float32, torch.contiguous_format),
    ],
)
def test_tensor_operations(
    shape: tuple[int, ...], kernel: int, dilation: int, cosine: bool, dtype: torch.dtype, layout: torch.memory_format
) -> None:
    generator = torch.Generator().manual_seed(0)
    features, grad = (torch.randn(shape, generator=generator).to(dtype) for _ in range(2))
    expected, scores = propagation_torch.forward(features.double(), kernel, dilation, cosine)
    slopes = propagation_torch.backward(grad.double(), features.double(), scores, kernel, dilation, cosine)
    ours = differentiated(features.contiguous(memory_format=layout), grad, kernel, dilation, cosine)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-2
    for result, values in zip(ours, (expected, slopes), strict=True):
        assert result.dtype == dtype
        torch.testing.assert_close(result.double(), values, rtol=tolerance, atol=tolerance * float(values.abs().max()))


@kernels
def test_published_values() -> None:
    with np.load(REFERENCE / "propagation.npz") as arrays:
        known = {name: torch.from_numpy(array) for name, array in arrays.items()}
    ours = differentiated(known["feature"], known["weight"], 5, 2, False)
    for result, expected in zip(ours, (known["output"], known["grad"]), strict=True):
        assert (result - expected).abs().max() < 1e-4 * expected.abs().max()


@kernels
def test_zeros_and_nan() -> None:
    features = torch.randn(1, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    features[..., :2] = 0
    features[0, 0, 4, 4] = torch.nan
    for cosine in (False, True):
        output, gradient = differentiated(features, torch.ones_like(features), 3, 2, cosine)
        assert output[0, 0, 2:8:2, 2:8:2].isnan().all()
        assert output[..., :2].isfinite().all()
        assert gradient[..., 1::2].isfinite().all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_dispatch() -> None:
    assert triton_runs(torch.device("cuda"))
    features = torch.randn(2, 16, 9, 9, device="cuda")
    assert propagate(features.requires_grad_()).grad_fn.name() == "PropagationBackward"  # type: ignore[union-attr]
    torch.testing.assert_close(propagate(features).cpu(), propagate(features.cpu()))


@pytest.mark.skipif(DEVICE == "cuda" or INTERPRETED, reason="Triton runs")
def test_fallback_without_triton(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert not triton_runs(torch.device("cpu"))
    assert "plain tensor operations are slower" in caplog.text


@pytest.mark.slow
@pytest.mark.skipif(DEVICE == "cuda" or INTERPRETED, reason="the tests above run by themselves")
def test_in_the_interpreter() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    result = subprocess.run(command, env=os.environ | {"TRITON_INTERPRET": "1"}, capture_output=True, text=True)
    assert result.returncode == 0 and "8 passed" in result.stdout, result.stdout
