"""Whole volumes read by windows: the same as at once where the network is local, and centred where shapes differ."""

import pytest
import torch
from torch import nn

from fovea.data.volumes.windows import SlidingWindow


class Voxelwise(nn.Module):
    """Two classes by the sign of the first modality, unless the other says at the same place that it is all wrong."""

    def forward(self, image, size):
        first = next(iter(image.values()))
        assert first.shape[2:] == tuple(size) and [*image] == ["ct", "mri"]
        logits = torch.cat([-first, first], dim=1) * (1 - 2 * image["mri"])
        return {"prediction": logits.softmax(dim=1)}


@pytest.mark.parametrize("overlap", [0.0, 0.5])
def test_windows_agree_with_the_whole(overlap: float) -> None:
    image = {"ct": torch.randn(1, 1, 20, 17, 9), "mri": torch.zeros(1, 1, 20, 17, 9)}
    found = SlidingWindow(Voxelwise(), (8, 8, 8), overlap, 3)(image, (20, 17, 9))["prediction"]
    expected = torch.cat([-image["ct"], image["ct"]], dim=1).softmax(dim=1)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_smaller_partners_are_centred_and_padding_is_taken_off() -> None:
    first = torch.ones(1, 1, 12, 6, 5)
    second = torch.ones(1, 1, 6, 6, 5)  # lies at 3 to 8 of the first
    found = SlidingWindow(Voxelwise(), (8, 8, 8), 0.5, 2)({"ct": first, "mri": second}, (12, 6, 5))["prediction"]
    said = found.argmax(dim=1)[0, :, 3, 2].tolist()
    assert found.shape == (1, 2, 12, 6, 5) and said == [1] * 3 + [0] * 6 + [1] * 3


def test_the_native_grid_has_the_same_extent() -> None:
    volume = torch.where(torch.arange(16).reshape(1, 1, 16, 1, 1) < 8, -5.0, 5.0).expand(1, 1, 16, 8, 8)
    image = {"ct": volume.contiguous(), "mri": torch.zeros(1, 1, 16, 8, 8)}
    found = SlidingWindow(Voxelwise(), (8, 8, 8), 0.5, 2)(image, (40, 5, 9))["prediction"]
    assert found.shape == (1, 2, 40, 5, 9)
    assert found.argmax(dim=1)[0, :, 2, 4].tolist() == [0] * 20 + [1] * 20
