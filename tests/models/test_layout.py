"""Layout, precision and compilation change the losses of a backbone by rounding only."""

import copy
import warnings
from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest
import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn

from fovea.engine.build import build
from fovea.models.backbone import Backbone
from fovea.models.basic_unet import BasicUNet2d
from fovea.models.layout import compile_networks, put_channels_last
from fovea.models.smp import SmpBackbone
from fovea.supervision.multi_level import MultiLevel

LIGHT = "tu-mobilenetv3_small_100"
BACKBONES = {
    "basic_unet": partial(BasicUNet2d, features=[4, 4, 8, 8, 8, 4], groups=4),
    "unet": partial(SmpBackbone, smp.Unet, LIGHT, None),
    "unetplusplus": partial(SmpBackbone, smp.UnetPlusPlus, LIGHT, None),
    "deeplabv3plus": partial(SmpBackbone, smp.DeepLabV3Plus, LIGHT, None),
    "segformer": partial(SmpBackbone, smp.Segformer, "mit_b0", None),
}
STEPS = 2
OPTIONS: dict[str, Any] = {"thresholds": [0.5, 0.3], "consistency": "prop", "weight": 3.0, "init": "independent"}
OPTIONS |= {"ensemble": "logits", "window": 100, "kernel_size": 5, "dilation": 2, "similarity": "dot"}


# The fast tests use only the published network.
@pytest.fixture(params=["basic_unet", *(pytest.param(name, marks=pytest.mark.slow) for name in [*BACKBONES][1:])])
def mode(request: pytest.FixtureRequest) -> MultiLevel:
    """Two levels with propagated features, so `features` and `classify` are called one by one."""
    torch.manual_seed(0)
    backbone = partial(BACKBONES[request.param], in_channels=3, classes=1)
    return MultiLevel(backbone, nn.BCEWithLogitsLoss(), **OPTIONS)


def batch(side: int = 64) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    image = torch.randn(2, 3, side, side, generator=generator)
    return {"image": image, "pseudo": torch.rand(2, 1, side, side, generator=generator)}


def history(mode: MultiLevel, half: torch.dtype | None = None) -> Tensor:
    """The losses of some steps; float16 with scaled gradients, as in Lightning."""
    optimizer = torch.optim.SGD(mode.parameters(), lr=0.01)
    scaler = torch.amp.GradScaler("cpu", enabled=half == torch.float16)
    losses = []
    for step in range(STEPS):
        optimizer.zero_grad()
        torch.manual_seed(step)  # of dropout
        with torch.autocast("cpu", half or torch.bfloat16, enabled=half is not None):
            loss = mode.losses(batch(), step / STEPS)["loss"]
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        losses.append(loss.detach())
    return torch.stack(losses)


def test_mixed_precision(mode: MultiLevel) -> None:
    full = history(copy.deepcopy(mode))
    for half, tolerance in ((torch.bfloat16, 0.03), (torch.float16, 0.02)):
        mixed = history(copy.deepcopy(mode), half)
        assert mixed.dtype == torch.float32
        torch.testing.assert_close(mixed, full, rtol=0, atol=tolerance)
        assert not torch.equal(mixed, full)


def test_channels_last(mode: MultiLevel) -> None:
    plain = history(copy.deepcopy(mode))
    put_channels_last(mode)
    kernels = [value for value in mode.parameters() if value.dim() == 4]
    assert kernels and all(kernel.is_contiguous(memory_format=torch.channels_last) for kernel in kernels)
    # DeepLab normalizes two pooled values by their difference, which enlarges rounding.
    torch.testing.assert_close(history(mode), plain, rtol=0, atol=0.03)


@pytest.mark.parametrize("channels", [1, 3])
def test_outputs_have_the_channels_last(channels: int) -> None:
    images, volumes = nn.Conv2d(channels, 4, 3), nn.Conv3d(channels, 4, 3)
    put_channels_last(nn.ModuleList([images, volumes]))
    assert images(torch.zeros(2, channels, 5, 5)).is_contiguous(memory_format=torch.channels_last)
    assert volumes(torch.zeros(2, channels, 5, 5, 5)).is_contiguous(memory_format=torch.channels_last_3d)


@pytest.mark.slow
def test_compiled_mode(mode: MultiLevel) -> None:
    names, plain = list(mode.state_dict()), history(copy.deepcopy(mode))
    counted = Counted()
    compile_networks(mode, backend=counted)
    torch.testing.assert_close(history(mode), plain, rtol=0, atol=1e-4)
    assert counted.graphs > 0
    assert list(mode.state_dict()) == names


def test_copy_of_a_compiled_mode(mode: MultiLevel) -> None:
    compile_networks(mode, backend="eager")
    average = copy.deepcopy(mode).eval()
    with torch.no_grad():
        for parameter in mode.parameters():
            parameter.zero_()
        assert average(batch()["image"], (64, 64))["prediction"].std() > 0


class Counted:
    """A backend that runs the graphs unchanged and counts them."""

    graphs = 0

    def __call__(self, graph: Any, _: Any) -> Any:
        self.graphs += 1
        return graph.forward


def test_networks_are_compiled_and_losses_are_not() -> None:
    class Network(nn.Conv3d):
        def forward(self, image: Tensor) -> Tensor:  # torch 2.6 does not compile a module of torch alone
            return super().forward(image)

    class Owner(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pair = nn.ModuleDict({"ct": Network(1, 1, 1)})
            self.loss = nn.BCEWithLogitsLoss()

    owner, counted = Owner(), Counted()
    compile_networks(owner, backend=counted)
    owner.pair["ct"](torch.ones(1, 1, 2, 2, 2))
    owner.loss(torch.ones(2), torch.ones(2))
    assert counted.graphs == 1
    network: Backbone = BACKBONES["basic_unet"](in_channels=3, classes=1)
    assert network(torch.rand(1, 3, 40, 24)).shape == (1, 1, 40, 24)
    network.compile(backend="eager")
    with pytest.raises(ValueError, match=r"compile=true needs sides \(data.size\) in multiples of 16, got 40 x 24"):
        network(torch.rand(1, 3, 40, 24))


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_loss_of_a_large_image_in_half_precision(half: torch.dtype) -> None:
    config: Mapping[str, Any] = {
        "backbone": {"_target_": "torch.nn.Conv2d", "_partial_": True, "in_channels": 3, "out_channels": 1}
        | {"kernel_size": 1},
        "loss": {"_target_": "monai.losses.DiceLoss", "sigmoid": True},
        "supervision": {"_target_": "fovea.supervision.full.Full", "_partial_": True},
    }
    side = 384  # more pixels than the largest float16
    large = {"image": torch.ones(1, 3, side, side), "mask": torch.ones(1, 1, side, side)}
    mode = build(config)
    with warnings.catch_warnings(action="ignore"), torch.autocast("cpu", half):
        mixed = mode.losses(large, 0.0)["loss"]
    assert mixed.item() == pytest.approx(mode.losses(large, 0.0)["loss"].item(), abs=2e-3)
