import pytest
import torch
from torch import nn

from fovea.supervision.tta import MeanOverFlips


class Ramp(nn.Module):
    """Probabilities that depend on the position of a pixel; of several modalities, of their mean."""

    def forward(self, image, size):
        image = torch.stack(list(image.values())).mean(dim=0) if isinstance(image, dict) else image
        place = torch.linspace(0.5, 1, image[0, 0].numel()).reshape(image.shape[2:])
        return {"prediction": (image[:, :1] * place).sigmoid(), "level_1": (image[:, 1:] * place).softmax(dim=1)}


class Pixelwise(nn.Module):
    """Probabilities of a pixel's own value, which flips do not change."""

    def forward(self, image, size):
        return {"prediction": image.mean(dim=1, keepdim=True).sigmoid()}


def image(*size: int) -> torch.Tensor:
    return torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))


def test_mean_over_flips() -> None:
    x = image(4, 6)
    found = MeanOverFlips(Ramp(), [-2, -1])(x, (4, 6))
    assert found.keys() == {"prediction", "level_1"}
    for name in found:
        views = [
            Ramp()(x, (4, 6))[name],
            Ramp()(x.flip(2), (4, 6))[name].flip(2),
            Ramp()(x.flip(3), (4, 6))[name].flip(3),
            Ramp()(x.flip(2).flip(3), (4, 6))[name].flip(3).flip(2),
        ]
        torch.testing.assert_close(found[name], sum(views) / 4)
        assert not torch.allclose(found[name], views[0])


def test_axes_of_volumes() -> None:
    x = image(2, 4, 6)
    plane = MeanOverFlips(Ramp(), [-2, -1])(x, (2, 4, 6))["prediction"]
    whole = MeanOverFlips(Ramp(), [-3, -2, -1])(x, (2, 4, 6))["prediction"]
    turned = MeanOverFlips(Ramp(), [-2, -1])(x.flip(2), (2, 4, 6))["prediction"].flip(2)
    torch.testing.assert_close(whole, (plane + turned) / 2)


@pytest.mark.parametrize("axes", [[], [-1], [-2, -1]])
def test_pixelwise_module_is_unchanged(axes: list[int]) -> None:
    x = image(5, 7)
    assert torch.equal(MeanOverFlips(Pixelwise(), axes)(x, (5, 7))["prediction"], Pixelwise()(x, (5, 7))["prediction"])


def test_all_modalities_are_flipped_and_other_axes_are_refused() -> None:
    a, b = image(4, 6), image(4, 6) + 1
    found = MeanOverFlips(Ramp(), [-1])({"a": a, "b": b}, (4, 6))["prediction"]
    torch.testing.assert_close(found, MeanOverFlips(Ramp(), [-1])((a + b) / 2, (4, 6))["prediction"])
    for axes in ([0], [-4], [-1, -1], [2, 3]):
        with pytest.raises(ValueError, match="axes must be"):
            MeanOverFlips(Ramp(), axes)
    with pytest.raises(ValueError, match="an image of 2 axes has no axis -3"):
        MeanOverFlips(Ramp(), [-3])(a, (4, 6))
