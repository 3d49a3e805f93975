from functools import partial

import pytest
import torch
from torch import Tensor

from fovea.models.by_modality import network_of
from fovea.models.cross_modality import ChannelAwareness, CrossModalityNet
from fovea.models.each_modality import EachModality
from fovea.models.early_fusion import EarlyFusion
from fovea.models.unet3d import DynUNet3d, UNet3d

UNET = partial(UNet3d, features=[4, 8])
KINDS = {
    "shared": partial(CrossModalityNet, unet=UNET, groups=4),
    "own encoders": partial(CrossModalityNet, unet=UNET, groups=4, shared_encoder=False),
    "own decoders": partial(CrossModalityNet, unet=UNET, groups=4, shared_decoder=False),
    "own halves": partial(CrossModalityNet, unet=UNET, groups=4, shared_encoder=False, shared_decoder=False),
    "batch": partial(CrossModalityNet, unet=partial(UNET, norm="batch"), groups=4, norm="batch"),
    "group": partial(CrossModalityNet, unet=partial(UNET, norm=["group", {"num_groups": 2}]), groups=4),
    "nnU-Net": partial(CrossModalityNet, unet=partial(DynUNet3d, features=[4, 6, 8]), groups=4),
    "residual": partial(CrossModalityNet, unet=partial(DynUNet3d, features=[4, 6, 8], residual=True), groups=4),
    "each modality": partial(EachModality, unet=UNET),
    "early fusion": partial(EarlyFusion, unet=UNET),
}


def volumes(names: list[str], channels: int = 1, side: int = 8) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(2, channels, side, side, side, generator=generator) for name in names}


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("names", [["ct", "mri"], ["t1", "t2", "flair"]])
@pytest.mark.parametrize("kind", KINDS)
def test_gives_logits_and_features_of_every_modality(kind: str, names: list[str], channels: int) -> None:
    network = KINDS[kind](names, channels, 3)
    image = volumes(names, channels)

    logits, features = network(image)

    assert {name: each.shape for name, each in logits.items()} == dict.fromkeys(names, (2, 3, 8, 8, 8))
    assert list(features) == (names if network.separate else [])
    sum(each.square().mean() for each in logits.values()).backward()
    assert [name for name, value in network.named_parameters() if value.grad is None] == []


@pytest.mark.parametrize("kind", KINDS)
@torch.inference_mode()
def test_the_wanted_logits_are_those_of_all(kind: str) -> None:
    network = KINDS[kind](["ct", "mri"], 1, 3).eval()
    image = volumes(["mri", "ct"])

    alone = network(image, ["mri"]).logits

    assert list(alone) == ["mri"]
    torch.testing.assert_close(alone["mri"], network(image).logits["mri"])


def test_the_channel_block_begins_as_the_identity() -> None:
    features = torch.randn(1, 4, 2, 3, 2)

    assert torch.equal(ChannelAwareness()(features), features)


@torch.no_grad()
def test_the_channel_block_is_the_formula_written_out() -> None:
    features, block = torch.randn(1, 3, 2, 2, 2), ChannelAwareness()
    block.gamma.fill_(0.5)
    rows = features.reshape(3, 8)
    expected = torch.zeros(3, 8)
    for c in range(3):
        energy = torch.stack([rows[c] @ rows[d] for d in range(3)])
        weights = (energy.max() - energy).exp() / (energy.max() - energy).exp().sum()
        expected[c] = rows[c] + 0.5 * sum(weights[d] * rows[d] for d in range(3))

    torch.testing.assert_close(block(features), expected.view_as(features))


@torch.inference_mode()
def test_modalities_help_each_other_only_where_they_are_fused() -> None:
    image = volumes(["ct", "mri"])
    other = image | {"mri": image["mri"].flip(2)}

    changes = {}
    for kind in ("shared", "early fusion", "each modality"):
        network = KINDS[kind](["ct", "mri"], 1, 3).eval()
        changes[kind] = (network(image).logits["ct"] - network(other).logits["ct"]).abs().max() > 1e-4

    assert changes == {"shared": True, "early fusion": True, "each modality": False}


@torch.inference_mode()
def test_the_mean_of_the_others_stands_in_for_a_missing_modality() -> None:
    network = KINDS["shared"](["t1", "t2", "flair"], 1, 3).eval()
    image = volumes(["t1", "flair"])
    features = network(image).features
    fused = network.fusion(
        torch.cat([features["t1"], (features["t1"] + features["flair"]) / 2, features["flair"]], dim=1)
    )
    skips = network.encoders[0](image["t1"])[:-1]
    expected = network.decoders[0](network.mix(torch.cat([fused, features["t1"]], dim=1)), skips)

    torch.testing.assert_close(network(image).logits["t1"], expected)
    alone = network({"t1": image["t1"]}).logits
    assert list(alone) == ["t1"] and alone["t1"].isfinite().all()


@torch.inference_mode()
def test_early_fusion_refuses_a_missing_modality_and_each_does_not_mind() -> None:
    image = volumes(["ct", "mri"])
    with pytest.raises(ValueError, match="mri is missing"):
        KINDS["early fusion"](["ct", "mri"], 1, 3)({"ct": image["ct"]})

    network = KINDS["each modality"](["ct", "mri"], 1, 3).eval()
    torch.testing.assert_close(network({"mri": image["mri"]}).logits["mri"], network(image).logits["mri"])


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (torch.zeros(1, 1, 8, 8, 8), "reads volumes by modality"),
        ({}, "no modality"),
        ({"pet": torch.zeros(1, 1, 8, 8, 8)}, "there is pet; this network reads ct, mri"),
        ({"ct": torch.zeros(1, 1, 8, 9, 8)}, "ct of 8 x 9 x 8 voxels.*multiples of 2 from 4 on"),
        ({"ct": torch.zeros(1, 1, 8, 2, 8)}, "multiples of 2 from 4 on"),
        ({"ct": torch.zeros(1, 1, 8, 8)}, "three multiples"),
        ({"ct": torch.zeros(1, 1, 8, 8, 8), "mri": torch.zeros(1, 1, 8, 8, 6)}, "crop the modalities to one size"),
    ],
)
@pytest.mark.parametrize("kind", ["shared", "early fusion"])
def test_refuses_images_that_do_not_suit(kind: str, image: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        KINDS[kind](["ct", "mri"], 1, 3)(image)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"modalities": ["ct"]}, "give 2 or more different names"),
        ({"modalities": ["ct", "ct"]}, "give 2 or more different names"),
        ({"modalities": "ct"}, "give 2 or more different names"),
        ({"classes": 1}, "the background counts"),
        ({"groups": 3}, "does not divide 2 x 8"),
        ({"unet": partial(UNet3d, features=[8])}, "2 or more even numbers"),
        ({"unet": partial(UNet3d, features=[3, 8])}, "2 or more even numbers"),
        ({"unet": partial(DynUNet3d, features=[4, 8])}, "3 or more even numbers"),
    ],
)
def test_refuses_arguments_that_make_no_sense(changes: dict, message: str) -> None:
    arguments = {"modalities": ["ct", "mri"], "in_channels": 1, "classes": 2, "unet": UNET, "groups": 4}
    with pytest.raises(ValueError, match=message):
        CrossModalityNet(**(arguments | changes))


def test_modes_refuse_networks_of_images() -> None:
    with pytest.raises(ValueError, match="choose backbone=cross_modality"):
        network_of(lambda: torch.nn.Conv2d(1, 1, 1))


def test_the_channel_block_does_not_overflow_in_half_precision() -> None:
    block = ChannelAwareness()
    block.gamma.data.fill_(1.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = block(torch.full((1, 2, 8, 8, 8), 100.0, dtype=torch.float16))
    assert out.isfinite().all()
