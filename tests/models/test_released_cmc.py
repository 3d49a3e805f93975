"""Published CMC checkpoints, compared with arrays of the published code."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from fovea.models.cross_modality import ChannelAwareness
from fovea.models.released import ReleasedCmc, load_cmc

REFERENCE = Path(__file__).parents[1] / "reference"
HEAD = "decoder.out_tr.conv.conv.weight"


def apart(ours: Tensor, theirs: Tensor) -> float:
    """The largest difference, relative to the largest value."""
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()


@pytest.fixture(scope="module")
def checkpoint(filled: Callable[[str], dict[str, Tensor]]) -> dict[str, Tensor]:
    """A checkpoint as published, with weights from a formula."""
    return filled("cmc_checkpoint_layout.json")


@pytest.fixture(scope="module")
def ones() -> dict[str, Tensor]:
    layout = json.loads((REFERENCE / "cmc_checkpoint_layout.json").read_text())
    return {name: torch.ones(shape) for name, shape in layout.items()}


@pytest.fixture(scope="module")
def network(checkpoint: dict[str, Tensor]) -> ReleasedCmc:
    return load_cmc(checkpoint)


@pytest.fixture(scope="module")
def known() -> dict[str, Tensor]:
    """What the published code computes with that checkpoint."""
    with np.load(REFERENCE / "cmc.npz") as arrays:
        return {name: torch.from_numpy(np.asarray(array)) for name, array in arrays.items()}


@pytest.mark.parametrize("training", [False, True])
@torch.inference_mode()
@pytest.mark.slow
def test_published_logits(training: bool, network: ReleasedCmc, known: dict[str, Tensor]) -> None:
    logits = network.train(training)(known["ct"], known["mri"])
    for name, ours in zip(("ct", "mri"), logits, strict=True):
        assert ours.shape == (1, 14, 32, 32, 32)
        assert apart(ours[..., ::4, ::4, ::4], known[f"logits_{name}"]) < 1e-5


@pytest.mark.parametrize("name", ["ct", "mri"])
@torch.inference_mode()
@pytest.mark.slow
def test_published_features(name: str, network: ReleasedCmc, known: dict[str, Tensor]) -> None:
    features = network.network.encoders[0](known[name])[-1]
    assert apart(features[:, ::16], known[f"features_{name}"]) < 1e-5


@torch.inference_mode()
def test_published_channel_block(known: dict[str, Tensor]) -> None:
    block = ChannelAwareness()
    block.gamma.fill_(known["mia_gamma"].item())
    assert apart(block(known["mia_x"]), known["mia_y"]) < 1e-6


def test_numbers_of_classes_and_channels(ones: dict[str, Tensor]) -> None:
    first, bias = "image_encoder.down_tr64.ops.0.conv1.weight", "decoder.out_tr.conv.conv.bias"
    changed = {first: ones[first].repeat(1, 2, 1, 1, 1), HEAD: ones[HEAD][:4], bias: ones[bias][:4]}
    logits, _ = load_cmc(ones | changed)(torch.zeros(1, 2, 16, 16, 16), torch.zeros(1, 2, 16, 16, 16))
    assert logits.shape == (1, 4, 16, 16, 16)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fusion_layer.layer1.conv1.bias": None}, "missing: fusion.0.conv.bias"),
        ({"fusion_layer.layer3.conv1.bias": torch.zeros(1)}, r"unknown: fusion_layer\.layer3"),
        ({"MIA_module.gamma": torch.zeros(2)}, r"other shape: MIA_module\.gamma"),
        ({HEAD: None}, "not a CMC network"),
        ({HEAD: torch.zeros(1, 64, 1, 1, 1)}, "not a CMC network"),
    ],
)
def test_unpublished_tensors_are_named(change: dict, message: str, ones: dict[str, Tensor]) -> None:
    changed = {name: value for name, value in (ones | change).items() if value is not None}
    with pytest.raises(ValueError, match=message):
        load_cmc(changed)
