"""Published checkpoints, compared with arrays of the published code."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from fovea.data.images.folder import Folder
from fovea.losses.consistency import cross_level_consistency
from fovea.models.cross_modality import ChannelAwareness
from fovea.models.propagation import propagate
from fovea.models.released import ReleasedCmc, gazemedseg_config, holds_gazemedseg, load_cmc, load_gazemedseg
from fovea.runtime.config import instantiate, locate

REFERENCE = Path(__file__).parents[1] / "reference"
CLASSIFIER = "model.0.classifier.weight"


def close(ours: Tensor, theirs: Tensor, share: float = 1e-4) -> bool:
    """Whether two arrays differ by less than a share of the largest value."""
    return bool((ours - theirs).abs().max() <= share * theirs.abs().max())


@pytest.fixture(scope="module")
def checkpoint(filled: Callable[[str], dict[str, Tensor]]) -> dict[str, Tensor]:
    """A two-level checkpoint as published, with weights from a formula."""
    return filled("gazemedseg_checkpoint_layout.json")


@pytest.fixture(scope="module")
def single() -> dict[str, Tensor]:
    """A checkpoint of one level as published, all ones."""
    layout = json.loads((REFERENCE / "gazemedseg_checkpoint_layout.json").read_text())
    return {name: torch.ones(shape) for name, shape in layout.items() if name.startswith("model.0.")}


@pytest.fixture(scope="module")
def known() -> dict[str, Tensor]:
    """What the published code computes with that checkpoint."""
    with np.load(REFERENCE / "multi_level.npz") as arrays:
        return {name: torch.from_numpy(np.asarray(array)) for name, array in arrays.items()}


@pytest.fixture(scope="module")
def ours(checkpoint: dict[str, Tensor], known: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same values from our parts, and the gradient norm of each parameter under its published name."""
    network = load_gazemedseg(checkpoint)
    features = [level.features(known["x"]) for level in network.levels]
    logits = torch.stack([level.classify(f) for level, f in zip(network.levels, features, strict=True)])
    spread = [propagate(f) for f in features]
    propagated = torch.stack([level.classify(f) for level, f in zip(network.levels, spread, strict=True)])
    targets = torch.stack([known["pseudo_1"], known["pseudo_2"]])
    bce = torch.stack([F.binary_cross_entropy_with_logits(*pair) for pair in zip(logits, targets, strict=True)])
    prop = cross_level_consistency(propagated, logits)
    total = bce.sum() + 3 * prop.sum()
    total.backward()
    values = {"bce": bce, "pure": cross_level_consistency(logits, logits), "prop": prop, "total": total}
    for k in (0, 1):
        values |= {f"logits_{k + 1}": logits[k], f"logits_prop_{k + 1}": propagated[k]}
        values[f"feature_prop_{k + 1}_first8"] = spread[k][:, :8]
    values["logits"] = network(known["x"])
    norms = {name: p.grad.norm() for name, p in network.named_parameters() if p.grad is not None}
    return {name: value.detach() for name, value in (values | norms).items()}


@pytest.mark.parametrize(
    "name",
    ["logits", "bce", "pure", "prop", "total"]
    + [f"{name}_{k}" for name in ("logits", "logits_prop") for k in (1, 2)]
    + [f"feature_prop_{k}_first8" for k in (1, 2)],
)
@pytest.mark.slow
def test_published_values(name: str, ours: dict[str, Tensor], known: dict[str, Tensor]) -> None:
    assert close(ours[name], known[name])


@pytest.mark.slow
def test_published_gradients(ours: dict[str, Tensor]) -> None:
    published = json.loads((REFERENCE / "multi_level_grad_norms.json").read_text())
    norms = {name: ours[name.replace("model.", "levels.", 1)] for name in published if ".head." not in name}
    assert norms == {name: pytest.approx(published[name], rel=1e-3) for name in norms}


@pytest.mark.parametrize("wrapper", ["", "state_dict", "model", "net", "module."])
def test_wrapped_checkpoints(wrapper: str, single: dict[str, Tensor]) -> None:
    single = {**single, CLASSIFIER: torch.rand_like(single[CLASSIFIER])}
    wrapped = {f"module.{name}": value for name, value in single.items()} if wrapper == "module." else single
    nested = {wrapper: wrapped, "epoch": 3} if wrapper in ("state_dict", "model", "net") else wrapped
    network = load_gazemedseg(nested)
    assert holds_gazemedseg(nested)
    assert not any(map(holds_gazemedseg, ({}, {3: 4}, {"state_dict": {"weight": torch.zeros(1)}})))
    assert torch.equal(network.levels[0].classifier.weight, single[CLASSIFIER])


def test_numbers_of_levels_and_channels(single: dict[str, Tensor]) -> None:
    first = "model.0.encoder.conv_0.conv_0.conv.weight"
    network = load_gazemedseg(single | {first: single[first][:, :1]})
    assert len(network.levels) == 1
    assert network(torch.zeros(1, 1, 16, 16)).shape == (1, 1, 16, 16)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({CLASSIFIER: None}, f"missing: {CLASSIFIER}"),
        ({"model.0.decoder.weight": torch.zeros(1)}, r"unknown: model\.0\.decoder\.weight"),
        ({CLASSIFIER: torch.zeros(2, 128, 1, 1)}, f"other shape: {CLASSIFIER}"),
        ({"model.7.encoder.conv_0.conv_0.conv.weight": torch.zeros(64, 3, 3, 3)}, r"missing: .*and \d+ more"),
        ({"model.0.encoder.conv_0.conv_0.conv.weight": None}, "not a GazeMedSeg network"),
    ],
)
def test_unpublished_tensors_are_named(change: dict, message: str, single: dict[str, Tensor]) -> None:
    changed = {name: value for name, value in (single | change).items() if value is not None}
    with pytest.raises(ValueError, match=message):
        load_gazemedseg(changed)


@pytest.mark.parametrize(("channels", "normalization"), [(3, "standard"), (1, "image")])
def test_configuration_of_a_published_network(channels: int, normalization: str) -> None:
    weights = {f"levels.{k}.encoder.conv_0.conv_0.conv.weight": torch.zeros(64, channels, 3, 3) for k in (0, 1, 2)}
    config = gazemedseg_config(weights)
    assert (config["data"]["size"], config["data"]["channels"], config["data"]["classes"]) == (224, channels, 1)
    assert instantiate(config["data"]["normalize"]).normalization == normalization
    assert issubclass(locate(config["data"]["dataset"]["_target_"]), Folder)
    assert config["backbone"]["in_channels"] == channels and len(config["supervision"]["thresholds"]) == 3
    with pytest.raises(ValueError, match="of 2 channels"):
        gazemedseg_config({name: torch.zeros(64, 2, 3, 3) for name in weights})


HEAD = "decoder.out_tr.conv.conv.weight"


@pytest.fixture(scope="module")
def cmc_checkpoint(filled: Callable[[str], dict[str, Tensor]]) -> dict[str, Tensor]:
    """A checkpoint as published, with weights from a formula."""
    return filled("cmc_checkpoint_layout.json")


@pytest.fixture(scope="module")
def ones() -> dict[str, Tensor]:
    layout = json.loads((REFERENCE / "cmc_checkpoint_layout.json").read_text())
    return {name: torch.ones(shape) for name, shape in layout.items()}


@pytest.fixture(scope="module")
def network(cmc_checkpoint: dict[str, Tensor]) -> ReleasedCmc:
    return load_cmc(cmc_checkpoint)


@pytest.fixture(scope="module")
def cmc_known() -> dict[str, Tensor]:
    """What the published code computes with that checkpoint."""
    with np.load(REFERENCE / "cmc.npz") as arrays:
        return {name: torch.from_numpy(np.asarray(array)) for name, array in arrays.items()}


@pytest.mark.parametrize("training", [False, True])
@torch.inference_mode()
@pytest.mark.slow
def test_cmc_published_logits(training: bool, network: ReleasedCmc, cmc_known: dict[str, Tensor]) -> None:
    logits = network.train(training)(cmc_known["ct"], cmc_known["mri"])
    for name, ours in zip(("ct", "mri"), logits, strict=True):
        assert ours.shape == (1, 14, 32, 32, 32)
        assert close(ours[..., ::4, ::4, ::4], cmc_known[f"logits_{name}"], 1e-5)


@pytest.mark.parametrize("name", ["ct", "mri"])
@torch.inference_mode()
@pytest.mark.slow
def test_cmc_published_features(name: str, network: ReleasedCmc, cmc_known: dict[str, Tensor]) -> None:
    features = network.network.encoders[0](cmc_known[name])[-1]
    assert close(features[:, ::16], cmc_known[f"features_{name}"], 1e-5)


@torch.inference_mode()
def test_cmc_published_channel_block(cmc_known: dict[str, Tensor]) -> None:
    block = ChannelAwareness()
    block.gamma.fill_(cmc_known["mia_gamma"].item())
    assert close(block(cmc_known["mia_x"]), cmc_known["mia_y"], 1e-6)


def test_cmc_numbers_of_classes_and_channels(ones: dict[str, Tensor]) -> None:
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
def test_cmc_unpublished_tensors_are_named(change: dict, message: str, ones: dict[str, Tensor]) -> None:
    changed = {name: value for name, value in (ones | change).items() if value is not None}
    with pytest.raises(ValueError, match=message):
        load_cmc(changed)
