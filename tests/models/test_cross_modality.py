"""Networks of several modalities."""

from functools import partial

import pytest
import torch
from torch import Tensor

from fovea.models.by_modality import EachModality, EarlyFusion
from fovea.models.cross_modality import ChannelAwareness, CrossModalityNet
from fovea.models.unet3d import DynUNet3d, UNet3d

UNET = partial(UNet3d, features=[4, 8], norm="instance")
DYN = partial(DynUNet3d, features=[4, 6, 8], norm="instance")
fused = partial(CrossModalityNet, unet=UNET, norm="instance", groups=4, shared_encoder=True, shared_decoder=True)
NETWORKS = {
    "shared": fused,
    "own encoders": partial(fused, shared_encoder=False),
    "own decoders": partial(fused, shared_decoder=False),
    "own halves": partial(fused, shared_encoder=False, shared_decoder=False),
    "batch": partial(fused, unet=partial(UNET, norm="batch"), norm="batch"),
    "group": partial(fused, unet=partial(UNET, norm=["group", {"num_groups": 2}])),
    "nnU-Net": partial(fused, unet=DYN),
    "residual": partial(fused, unet=partial(DYN, residual=True)),
    "each modality": partial(EachModality, unet=UNET),
    "early fusion": partial(EarlyFusion, unet=UNET),
}


def volumes(names: list[str], channels: int = 1, side: int = 8) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(2, channels, side, side, side, generator=generator) for name in names}


@pytest.mark.parametrize(("names", "channels"), [(["ct", "mri"], 2), (["t1", "t2", "flair"], 1)])
@pytest.mark.parametrize("network", NETWORKS)
def test_logits_and_features(network: str, names: list[str], channels: int) -> None:
    module = NETWORKS[network](names, channels, 3)
    image = volumes(names, channels)
    logits, features = module(image)
    assert {name: values.shape for name, values in logits.items()} == dict.fromkeys(names, (2, 3, 8, 8, 8))
    assert list(features) == (names if module.separate else [])
    sum(values.square().mean() for values in logits.values()).backward()
    assert [name for name, value in module.named_parameters() if value.grad is None] == []


@pytest.mark.parametrize("network", NETWORKS)
@torch.inference_mode()
def test_wanted_logits(network: str) -> None:
    module = NETWORKS[network](["ct", "mri"], 1, 3).eval()
    image = volumes(["mri", "ct"])
    alone = module(image, ["mri"]).logits
    assert list(alone) == ["mri"]
    torch.testing.assert_close(alone["mri"], module(image).logits["mri"])


@torch.no_grad()
def test_channel_block_as_naive_formula() -> None:
    features, block = torch.randn(1, 3, 2, 2, 2), ChannelAwareness()
    assert torch.equal(block(features), features)  # before training
    block.gamma.fill_(0.5)
    rows = features.reshape(3, 8)
    expected = torch.zeros(3, 8)
    for c in range(3):
        energy = torch.stack([rows[c] @ rows[d] for d in range(3)])
        weights = (energy.max() - energy).exp() / (energy.max() - energy).exp().sum()
        expected[c] = rows[c] + 0.5 * sum(weights[d] * rows[d] for d in range(3))
    torch.testing.assert_close(block(features), expected.view_as(features))
    block.gamma.fill_(1.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert block(torch.full((1, 2, 8, 8, 8), 100.0, dtype=torch.float16)).isfinite().all()


@torch.inference_mode()
def test_only_fused_modalities_depend_on_each_other() -> None:
    image = volumes(["ct", "mri"])
    other = image | {"mri": image["mri"].flip(2)}
    changes = {}
    for name in ("shared", "early fusion", "each modality"):
        network = NETWORKS[name](["ct", "mri"], 1, 3).eval()
        changes[name] = (network(image).logits["ct"] - network(other).logits["ct"]).abs().max() > 1e-4
    assert changes == {"shared": True, "early fusion": True, "each modality": False}


@torch.inference_mode()
def test_mean_replaces_a_missing_modality() -> None:
    network = NETWORKS["shared"](["t1", "t2", "flair"], 1, 3).eval()
    image = volumes(["t1", "flair"])
    features = network(image).features
    mixed = network.fusion(
        torch.cat([features["t1"], (features["t1"] + features["flair"]) / 2, features["flair"]], dim=1)
    )
    skips = network.encoders[0](image["t1"])[:-1]
    expected = network.decoders[0](network.mix(torch.cat([mixed, features["t1"]], dim=1)), skips)
    torch.testing.assert_close(network(image).logits["t1"], expected)
    alone = network({"t1": image["t1"]}).logits
    assert list(alone) == ["t1"] and alone["t1"].isfinite().all()
    image = volumes(["ct", "mri"])
    with pytest.raises(ValueError, match="mri is missing"):
        NETWORKS["early fusion"](["ct", "mri"], 1, 3)({"ct": image["ct"]})
    network = NETWORKS["each modality"](["ct", "mri"], 1, 3).eval()
    torch.testing.assert_close(network({"mri": image["mri"]}).logits["mri"], network(image).logits["mri"])


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (torch.zeros(1, 1, 8, 8, 8), "reads a mapping of volumes"),
        ({}, "no modality"),
        ({"pet": torch.zeros(1, 1, 8, 8, 8)}, "this network reads ct, mri, got pet"),
        ({"ct": torch.zeros(1, 1, 8, 9, 8)}, "multiples of 2, from 4 on, got 8 x 9 x 8"),
        ({"ct": torch.zeros(1, 1, 8, 2, 8)}, "multiples of 2, from 4 on"),
        ({"ct": torch.zeros(1, 1, 8, 8)}, "3 sides"),
        ({"ct": torch.zeros(1, 1, 8, 8, 8), "mri": torch.zeros(1, 1, 8, 8, 6)}, "one shape"),
    ],
)
@pytest.mark.parametrize("network", ["shared", "early fusion"])
def test_other_images_are_refused(network: str, image: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NETWORKS[network](["ct", "mri"], 1, 3)(image)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"modalities": ["ct"]}, "2 or more different names"),
        ({"modalities": ["ct", "ct"]}, "2 or more different names"),
        ({"modalities": "ct"}, "2 or more different names"),
        ({"groups": 3}, "groups must divide 2 x 8"),
        ({"unet": partial(UNET, features=[8])}, "2 or more even numbers"),
        ({"unet": partial(UNET, features=[3, 8])}, "2 or more even numbers"),
        ({"unet": partial(DYN, features=[4, 8])}, "3 or more even numbers"),
    ],
)
def test_bad_arguments_are_refused(changes: dict, message: str) -> None:
    arguments = {"modalities": ["ct", "mri"], "in_channels": 1, "classes": 2}
    with pytest.raises(ValueError, match=message):
        fused(**(arguments | changes))
