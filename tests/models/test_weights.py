"""Pretrained weights of encoders and of 3-D U-Nets, from files and packages."""

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import segmentation_models_pytorch as smp
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from fovea.models.smp import SmpBackbone
from fovea.models.unet3d import DynUNet3d, UNet3d
from fovea.models.weights import PACKAGED, load_encoder, load_halves, our_name, packaged_file

LITE = "tu-tf_efficientnet_lite0"
LIGHT = "tu-mobilenetv3_small_100"
backbone = partial(SmpBackbone, smp.Unet, in_channels=3, classes=1)


def tensors(encoder_name: str = "resnet18") -> dict[str, Tensor]:
    return backbone(encoder_name, None).network.encoder.state_dict()


@pytest.fixture(scope="module")
def lite_file() -> str:
    pytest.importorskip(PACKAGED[LITE][0])
    return packaged_file(LITE)


def test_safetensors_and_names_of_timm_without_prefix(tmp_path: Path) -> None:
    source = tensors()
    save_file(source, tmp_path / "a.safetensors")
    own = backbone("resnet18", str(tmp_path / "a.safetensors")).network.encoder.state_dict()
    assert all(torch.equal(own[name], value) for name, value in source.items())
    source = {name.removeprefix("model."): value for name, value in tensors("tu-resnet18").items()}
    torch.save(source | {"fc.weight": torch.zeros(2, 2)}, tmp_path / "a.pth")
    own = backbone("tu-resnet18", str(tmp_path / "a.pth")).network.encoder.state_dict()
    assert all(torch.equal(own[f"model.{name}"], value) for name, value in source.items())


def test_of_several_networks_the_last_is_used_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, last = tensors(), tensors()
    networks = {"mode.network.encoder": first, "mode.average.module.encoder": last}
    file = tmp_path / "a.pth"
    torch.save({f"{at}.{name}": value for at, each in networks.items() for name, value in each.items()}, file)
    own = backbone("resnet18", str(file)).network.encoder.state_dict()
    assert all(torch.equal(own[name], value) for name, value in last.items())
    assert not torch.equal(first["conv1.weight"], last["conv1.weight"])
    assert "has an encoder in each of mode.network., mode.average.module.; the last is used" in caplog.text


def test_packaged_tensors_are_all_used_once(lite_file: str) -> None:
    published = torch.load(lite_file, weights_only=True)
    own = backbone(LITE, "packaged").network.encoder.state_dict()
    stages = {"model.conv_stem.weight": "_conv_stem.weight", "model.bn1.running_var": "_bn0.running_var"}
    blocks = {  # first block, without expansion; first and last with it: 16 blocks in 7 stages
        "model.blocks.0.0.conv_pw.weight": "_blocks.0._project_conv.weight",
        "model.blocks.1.0.conv_pw.weight": "_blocks.1._expand_conv.weight",
        "model.blocks.6.0.bn3.bias": "_blocks.15._bn2.bias",
    }
    for name, theirs in (stages | blocks).items():
        assert torch.equal(own[name], published[theirs])
    pool = [value for name, value in published.items() if not name.startswith(("_fc", "_conv_head", "_bn1"))]
    assert len(own) == len(pool)
    assert sorted(value.double().sum().item() for value in own.values()) == pytest.approx(
        sorted(value.double().sum().item() for value in pool)
    )


def test_weights_that_do_not_fit_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(tensors("resnet34"), tmp_path / "other.pth")
    torch.save({"a": Path("code")}, tmp_path / "code.pth")
    for encoder_name, weights, message in (
        ("resnet18", "packaged", f"no package ships weights of resnet18; choose {LITE}"),
        ("resnet18", "other/none.pth", "other/none.pth: no such file"),
        ("resnet50", str(tmp_path / "other.pth"), "only 149 of 265 tensors match"),
        ("resnet18", str(tmp_path / "code.pth"), "it holds code"),
    ):
        with pytest.raises(ValueError, match=message):
            backbone(encoder_name, weights)
    monkeypatch.setitem(PACKAGED, LITE, ("no_such_package", "a.pth"))
    with pytest.raises(ValueError, match="make weights"):
        packaged_file(LITE)


def test_colors_of_a_pretrained_encoder_are_summed_for_gray_slices(tmp_path: Path) -> None:
    colors, gray = (backbone(LIGHT, None, in_channels=c).network.encoder.eval() for c in (3, 1))
    torch.save(colors.state_dict(), tmp_path / "weights.pth")
    load_encoder(gray, str(tmp_path / "weights.pth"))
    image = torch.randn(1, 1, 64, 64)
    torch.testing.assert_close(gray(image)[-1], colors(image.repeat(1, 3, 1, 1))[-1], atol=1e-4, rtol=1e-3)


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
