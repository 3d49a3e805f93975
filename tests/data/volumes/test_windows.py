"""Sliding window: the same as a single pass of a local network, and centered if shapes differ."""

import pytest
import torch
from torch import nn

from fovea.data.volumes.windows import SlidingWindow


class Voxelwise(nn.Module):
    """Predict two classes by the sign of the first modality, reversed where the other modality is 1."""

    def forward(self, image, size):
        first = next(iter(image.values()))
        assert first.shape[2:] == tuple(size) and [*image] == ["ct", "mri"]
        logits = torch.cat([-first, first], dim=1) * (1 - 2 * image["mri"])
        return {"prediction": logits.softmax(dim=1)}


@pytest.mark.parametrize("overlap", [0.0, 0.5])
def test_windows_agree_with_the_whole(overlap: float) -> None:
    image = {"ct": torch.randn(1, 1, 20, 17, 9), "mri": torch.zeros(1, 1, 20, 17, 9)}
    output = SlidingWindow(Voxelwise(), (8, 8, 8), overlap, 3)(image, (20, 17, 9))["prediction"]
    expected = torch.cat([-image["ct"], image["ct"]], dim=1).softmax(dim=1)
    torch.testing.assert_close(output, expected, atol=1e-5, rtol=0)


def test_the_blend_of_windows_in_bfloat16_adds_no_rounding() -> None:
    def predict(image, size):
        return {"prediction": torch.ones(image["ct"].shape[0], 1, *size, dtype=torch.bfloat16)}

    output = SlidingWindow(predict, (8, 8), 0.25, 3)({"ct": torch.zeros(1, 1, 20, 17, 9)}, (20, 17, 9))["prediction"]  # type: ignore[arg-type]
    torch.testing.assert_close(output, torch.ones(1, 1, 20, 17, 9), atol=1e-6, rtol=0)


def test_a_smaller_modality_is_centered() -> None:
    first = torch.ones(1, 1, 12, 6, 5)
    second = torch.ones(1, 1, 6, 6, 5)  # covers voxels 3 to 8 of the first
    output = SlidingWindow(Voxelwise(), (8, 8, 8), 0.5, 2)({"ct": first, "mri": second}, (12, 6, 5))["prediction"]
    labels = output.argmax(dim=1)[0, :, 3, 2].tolist()
    assert output.shape == (1, 2, 12, 6, 5) and labels == [1] * 3 + [0] * 6 + [1] * 3


def test_the_native_grid_has_the_same_extent() -> None:
    volume = torch.where(torch.arange(16).reshape(1, 1, 16, 1, 1) < 8, -5.0, 5.0).expand(1, 1, 16, 8, 8)
    image = {"ct": volume.contiguous(), "mri": torch.zeros(1, 1, 16, 8, 8)}
    output = SlidingWindow(Voxelwise(), (8, 8, 8), 0.5, 2)(image, (40, 5, 9))["prediction"]
    assert output.shape == (1, 2, 40, 5, 9)
    assert output.argmax(dim=1)[0, :, 2, 4].tolist() == [0] * 20 + [1] * 20
