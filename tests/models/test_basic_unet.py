"""The U-Net of GazeMedSeg."""

from functools import partial

import pytest
import torch

from fovea.models.basic_unet import BasicUNet2d

NARROW = (4, 4, 8, 8, 16, 12)
narrow = partial(BasicUNet2d, features=NARROW, groups=4)


@pytest.mark.parametrize("size", [(16, 16), (32, 48), (37, 50)])
def test_sizes_of_features_and_logits(size: tuple[int, int]) -> None:
    network = narrow(in_channels=3, classes=2)
    features = network.features(torch.rand(1, 3, *size))
    assert features.shape == (1, 12, *size)
    assert network.classify(features).shape == (1, 2, *size)


def test_widths_and_sizes_that_do_not_fit_are_refused() -> None:
    for features in ((4, 4, 4, 4, 4), (4, 4, 4, 4, 4, 6)):
        with pytest.raises(ValueError, match="features must be"):
            narrow(in_channels=1, classes=1, features=features)
    with pytest.raises(ValueError, match="at least 16 pixels, got 15 x 64"):
        narrow(in_channels=1, classes=1)(torch.rand(1, 1, 15, 64))
