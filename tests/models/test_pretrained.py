"""Pretrained weights of 3-D U-Nets."""

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from fovea.models.unet3d import DynUNet3d, UNet3d
from fovea.models.weights import load_halves, our_name


def tiny(classes: int = 3, **options) -> UNet3d:
    return UNet3d(1, classes, features=[4, 8], norm="instance", **options)


def saved(content: object, folder: Path) -> str:
    torch.save(content, folder / "weights.pt")
    return str(folder / "weights.pt")


@pytest.mark.parametrize("make", [tiny, partial(DynUNet3d, 1, 2, features=[4, 6, 8], norm="instance")])
def test_all_weights_of_the_same_network(make: Callable[..., nn.Module], tmp_path: Path) -> None:
    source = make()
    network = make(pretrained=saved(source.state_dict(), tmp_path))
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in source.state_dict().items())


@pytest.mark.parametrize("prefix", ["", "supervision.network.", "supervision.student."])
def test_checkpoint_of_the_cross_modality_network(
    prefix: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = tiny()
    names = {name: name.replace("coder.", "coders.0.", 1) for name in source.state_dict()}
    weights = {prefix + names[name]: value for name, value in source.state_dict().items()}
    network = tiny()
    content = {"epoch": 1, "state_dict": weights | {"mix.2.weight": torch.ones(3)}}
    with caplog.at_level(logging.INFO):
        load_halves(network, saved(content, tmp_path))
    assert torch.equal(network.decoder.head.weight, source.decoder.head.weight)
    assert f"{len(weights)} of {len(weights)} weights match; unknown: mix.2.weight" in caplog.text


def test_report_names_what_does_not_match(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    weights = tiny(classes=5).state_dict()
    del weights["encoder.stages.0.1.conv.bias"]
    network = tiny()
    before = network.decoder.head.weight.clone()
    with caplog.at_level(logging.WARNING):
        load_halves(network, saved(weights, tmp_path))
    assert "decoder.head.weight (5x4x1x1x1 in place of 3x4x1x1x1)" in caplog.text
    assert "missing: encoder.stages.0.1.conv.bias" in caplog.text
    assert torch.equal(network.decoder.head.weight, before)
    assert torch.equal(network.encoder.stages[1][1].conv.weight, weights["encoder.stages.1.1.conv.weight"])


def test_published_names() -> None:
    with torch.device("meta"):
        own = set(UNet3d(1, 14, features=[64, 128, 256, 512], norm="instance").state_dict())
    published = {
        f"module.{half}.{ops}.{part}.{kind}"
        for half, ops in [
            *((f"down_tr{width}", f"ops.{n}") for width in (64, 128, 256, 512) for n in (0, 1)),
            *((f"up_tr{width}", f"ops.{n}") for width in (64, 128, 256) for n in (0, 1)),
        ]
        for part in ("conv1", "bn1")
        for kind in ("weight", "bias")
    }
    published |= {f"up_tr{width}.up_conv.{kind}" for width in (64, 128, 256) for kind in ("weight", "bias")}
    published |= {f"out_tr.final_conv.{kind}" for kind in ("weight", "bias")}
    assert {our_name(name) for name in published} == own


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"other": torch.zeros(1)}, "no weight matches"),
        ({"encoder.stages.0.1.conv.bias": torch.zeros(9)}, "9 in place of 2"),
        ([1, 2], "no weight matches"),
        (Path("harmless"), "holds code"),
    ],
)
def test_other_files_are_refused(content: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        tiny(pretrained=saved(content, tmp_path))
    with pytest.raises(ValueError, match="nowhere: no such file"):
        tiny(pretrained=str(tmp_path / "nowhere"))
