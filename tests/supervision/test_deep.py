"""Deep supervision, held against the scales taken by hand."""

from functools import partial

import pytest
import segmentation_models_pytorch as smp
import torch
from torch import nn
from torch.nn import functional as F

from fovea.losses.certain import on_certain
from fovea.models.basic_unet import BasicUNet2d
from fovea.models.smp import SmpBackbone
from fovea.supervision.band import Band
from fovea.supervision.full import Full

basic_unet = partial(BasicUNet2d, 3, 1, features=[4, 4, 8, 8, 8, 4])
unet = partial(SmpBackbone, smp.Unet, "resnet18", None, 3, 1, encoder_depth=3, decoder_channels=[16, 12, 8])


def batch() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {
        "image": torch.randn(2, 3, 32, 48),
        "mask": torch.randint(2, (2, 1, 32, 48)).float(),
        "pseudo": torch.rand(2, 1, 32, 48),
    }


@pytest.mark.parametrize(
    ("backbone", "channels", "sides"), [(basic_unet, [8, 8, 4], [8, 4, 2]), (unet, [16, 12], [4, 2])]
)
def test_scales_come_from_coarse_to_fine(backbone: partial, channels: list[int], sides: list[int]) -> None:
    network, image = backbone().eval(), batch()["image"]
    features, scales = network.scales(image)
    assert [tuple(scale.shape) for scale in scales] == [
        (2, width, 32 // side, 48 // side) for width, side in zip(channels, sides, strict=True)
    ]
    torch.testing.assert_close(features, network.features(image))
    assert not any(module._forward_hooks for module in network.modules())


@pytest.mark.parametrize("backbone", [basic_unet, unet])
@pytest.mark.parametrize("kind", ["full", "band"])
def test_the_loss_is_that_of_the_logits_and_the_mean_of_the_enlarged_scales(backbone: partial, kind: str) -> None:
    data, loss = batch(), nn.BCEWithLogitsLoss()
    mode = Full(backbone, loss, deep=0.5) if kind == "full" else Band(backbone, loss, [0.6, 0.3], deep=0.5)
    mode.eval()  # so that the second pass normalises as the first
    terms = mode.losses(data, 0.0)

    features, scales = mode.network.scales(data["image"])
    foreground = data["pseudo"] >= 0.6
    certain = foreground | (data["pseudo"] < 0.3) if kind == "band" else torch.ones_like(foreground)
    target = foreground.float() if kind == "band" else data["mask"]
    coarse = [
        on_certain(loss, F.interpolate(head(scale), size=(32, 48), mode="bilinear"), target, certain)
        for head, scale in zip(mode.deep.heads, scales, strict=True)
    ]
    supervised = on_certain(loss, mode.network.classify(features), target, certain)

    torch.testing.assert_close(terms["supervised"], supervised)
    torch.testing.assert_close(terms["deep"], sum(coarse) / len(coarse))
    torch.testing.assert_close(terms["loss"], supervised + 0.5 * sum(coarse) / len(coarse))


def test_heads_exist_only_where_they_are_asked_for() -> None:
    plain, deep = (set(Full(basic_unet, nn.BCEWithLogitsLoss(), deep).state_dict()) for deep in (0.0, 0.5))
    assert deep - plain == {f"deep.heads.{k}.{name}" for k in range(3) for name in ("weight", "bias")}
    assert plain < deep


def test_backbones_without_scales_and_bad_weights_are_refused_by_name() -> None:
    for network in (smp.UnetPlusPlus, smp.DeepLabV3Plus):
        backbone = partial(SmpBackbone, network, "resnet18", None, 3, 1)
        with pytest.raises(ValueError, match=r"supervision\.deep: .* choose backbone="):
            Full(backbone, nn.BCEWithLogitsLoss(), deep=0.5)
    with pytest.raises(ValueError, match=r"supervision\.deep=-1"):
        Full(basic_unet, nn.BCEWithLogitsLoss(), deep=-1)
