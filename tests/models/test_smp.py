"""Backbones of segmentation-models-pytorch."""

from functools import partial
from pathlib import Path

import huggingface_hub
import pytest
import segmentation_models_pytorch as smp
import torch
from safetensors.torch import save_file

from fovea.models.smp import SmpBackbone

SHALLOW = {"encoder_depth": 3, "decoder_channels": [16, 8, 8]}
NETWORKS = [
    (smp.Unet, "resnet18", {}),
    (smp.Unet, "resnet18", SHALLOW),
    (smp.Unet, "tu-resnet18", SHALLOW),
    (smp.UnetPlusPlus, "resnet18", {}),
    (smp.DeepLabV3Plus, "resnet18", {}),
    (smp.Segformer, "mit_b0", {}),
]


def small(**options: object) -> SmpBackbone:
    arguments = {"encoder_name": "resnet18", "encoder_weights": None, "in_channels": 3, "classes": 1}
    return SmpBackbone(smp.Unet, **(arguments | options))


@pytest.mark.parametrize(("network", "encoder", "options"), NETWORKS)
def test_logits_are_those_of_the_network(network: type, encoder: str, options: dict) -> None:
    backbone = SmpBackbone(partial(network), encoder, None, in_channels=1, classes=2, **options).eval()
    image = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        logits = backbone.classify(backbone.features(image))
        expected = backbone.network(image)
    assert logits.shape == (1, 2, 64, 64)
    assert torch.equal(logits, expected)
    assert torch.equal(logits, backbone(image))


def test_unet_accepts_any_size() -> None:
    assert small(**SHALLOW)(torch.rand(2, 3, 50, 41)).shape == (2, 1, 50, 41)


def test_size_that_does_not_fit_the_stride() -> None:
    backbone = SmpBackbone(smp.Segformer, "mit_b0", None, in_channels=3, classes=1)
    with pytest.raises(ValueError, match="multiples of 32 for this backbone, got 64 x 50"):
        backbone.features(torch.rand(1, 3, 64, 50))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder_name": "resnet43"}, "Wrong encoder name `resnet43`"),
        ({"encoder_name": "tu-resnet1"}, "Unknown model"),
        ({"encoder_weights": "imagnet"}, "imagnet"),
        ({"decoder_channel": [8]}, r"^decoder_channel is not an option"),
        ({"activation": "sigmoid"}, r"^activation: losses and predictions read logits"),
        ({"encoder_depth": 3}, "encoder_depth=3.*decoder_channels"),
    ],
)
def test_error_of_the_library_is_one_line(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        small(**options)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("encoder", "folder"),
    [("resnet18", "models--smp-hub--resnet18.imagenet"), ("tu-resnet18", "models--timm--resnet18.a1_in1k")],
)
@pytest.mark.filterwarnings("ignore:For 'tu-'")
def test_weights_that_cannot_be_downloaded(
    encoder: str, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ValueError) as caught:
        small(encoder_name=encoder, encoder_weights="imagenet")
    assert f"copy its cache folder to {tmp_path / folder}" in str(caught.value)
    assert "backbone.encoder_weights=null" in str(caught.value)


def test_weights_in_the_cache_are_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    revision = smp.encoders.encoders["resnet18"]["pretrained_settings"]["imagenet"]["revision"]
    folder = tmp_path / "models--smp-hub--resnet18.imagenet" / "snapshots" / revision
    folder.mkdir(parents=True)
    weights = {name: torch.full_like(value, 2) for name, value in small().network.encoder.state_dict().items()}
    save_file(weights, folder / "model.safetensors")
    (folder / "config.json").write_text("{}")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    encoder = small(encoder_weights="imagenet").network.encoder
    assert all(torch.all(value == 2) for value in encoder.state_dict().values())
