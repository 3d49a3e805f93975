import pytest
import torch

from fovea.models.basic_unet import BasicUNet2d

NARROW = (4, 4, 8, 8, 16, 12)


@pytest.mark.parametrize("size", [(16, 16), (32, 48), (37, 50)])
def test_features_and_logits_have_the_size_of_the_image(size: tuple[int, int]) -> None:
    network = BasicUNet2d(in_channels=3, classes=2, features=NARROW)

    features = network.features(torch.rand(1, 3, *size))

    assert features.shape == (1, 12, *size)
    assert network.classify(features).shape == (1, 2, *size)


def test_forward_is_classify_after_features() -> None:
    network = BasicUNet2d(in_channels=1, classes=1, features=NARROW)
    image = torch.rand(2, 1, 32, 32)

    assert torch.equal(network(image), network.classify(network.features(image)))


def test_every_parameter_learns() -> None:
    network = BasicUNet2d(in_channels=1, classes=1, features=NARROW)

    network(torch.rand(2, 1, 32, 32)).square().sum().backward()

    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize("features", [(4, 4, 4, 4, 4), (4, 4, 4, 4, 4, 6), (0, 4, 4, 4, 4, 4)])
def test_refuses_widths_that_the_groups_do_not_divide(features: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"backbone\.features"):
        BasicUNet2d(in_channels=1, classes=1, features=features)


def test_refuses_images_that_vanish_on_the_way_down() -> None:
    with pytest.raises(ValueError, match=r"data\.size: images of 15 x 64 px"):
        BasicUNet2d(in_channels=1, classes=1, features=NARROW)(torch.rand(1, 1, 15, 64))
