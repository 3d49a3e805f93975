"""Multi-level supervision beyond the contract."""

import pytest
import torch
from torch import nn

from fovea.supervision.multi_level import MultiLevel

from . import tiny


class Linear(nn.Module):
    """A 1x1 convolution as a backbone; its features are the image."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, 1, 1)

    def features(self, image):
        return image

    def classify(self, features):
        return self.head(features)

    def forward(self, image):
        return self.head(image)


def build(backbone=Linear, **options) -> MultiLevel:
    torch.manual_seed(0)
    return tiny.multi_level(backbone, nn.BCEWithLogitsLoss(), **options)


def batch() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {"image": torch.randn(2, 3, 8, 8), "pseudo": torch.rand(2, 1, 8, 8)}


def test_targets_of_the_levels() -> None:
    mode, data = build(consistency="none"), batch()
    terms = mode.losses(data, 0.0)
    for k, threshold in enumerate([0.5, 0.3]):
        target = (data["pseudo"] >= threshold).float()
        expected = nn.functional.binary_cross_entropy_with_logits(mode.levels[k](data["image"]), target)
        torch.testing.assert_close(terms[f"supervised_{k + 1}"], expected)


@pytest.mark.parametrize("consistency", ["prop", "pure"])
def test_loss_is_the_weighted_sum_of_its_terms(consistency: str) -> None:
    terms = build(consistency=consistency, weight=2.0).losses(batch(), 0.0)
    supervised = terms["supervised_1"] + terms["supervised_2"]
    torch.testing.assert_close(terms["loss"], supervised + 2.0 * (terms["consistency_1"] + terms["consistency_2"]))


def test_one_level_or_no_weight_has_no_consistency() -> None:
    first, second = {"supervised_1", "agreement_1"}, {"supervised_2", "agreement_2"}
    assert set(build(thresholds=[0.5]).losses(batch(), 0.0)) == {"loss"} | first
    assert set(build(weight=0.0).losses(batch(), 0.0)) == {"loss"} | first | second


def test_init_of_the_levels() -> None:
    first, second = (level.head.weight for level in build(init="copied").levels)
    assert torch.equal(first, second)
    assert first.data_ptr() != second.data_ptr()
    first, second = (level.head.weight for level in build(init="independent").levels)
    assert not torch.equal(first, second)


def collapsed(**options) -> MultiLevel:
    """The first level predicts background everywhere, the second foreground."""
    mode = build(**options)
    for level, bias in zip(mode.levels, (-100.0, 5.0), strict=True):
        level.head.weight.data.zero_()
        level.head.bias.data.fill_(bias)
    return mode


def test_ensembles_with_a_collapsed_level() -> None:
    means = {}
    for ensemble in ("logits", "probabilities", "quality"):
        mode = collapsed(ensemble=ensemble)
        mode.losses(batch(), 0.0)
        means[ensemble] = mode(torch.randn(1, 3, 8, 8), (8, 8))["prediction"].mean().item()
    assert means["logits"] < 1e-6
    assert means["probabilities"] == pytest.approx(0.4966, abs=1e-3)
    assert means["quality"] == pytest.approx(0.9933, abs=1e-3)


def test_quality_weights_levels_by_agreement() -> None:
    mode, image = build(ensemble="quality"), torch.randn(1, 3, 8, 8)
    mode.agreement.running.copy_(torch.tensor([[0.2, 0.4], [0.2, 0.4], [0.1, 0.3]]))  # Dice 1/2 and 3/4
    outputs = mode(image, (8, 8))
    torch.testing.assert_close(outputs["prediction"], 0.4 * outputs["level_1"] + 0.6 * outputs["level_2"])


def test_collapse_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    mode = collapsed(window=5)
    for _ in range(15):
        mode.losses(batch(), 0.0)
        mode.after_step(0.0)
    (line,) = [record.message for record in caplog.records]
    assert line.startswith("level 1 (threshold 0.5) predicts only 0.0 % of the area of its pseudo-mask")
    assert "supervision.ensemble=quality" in line


@pytest.mark.parametrize("consistency", ["pure", "none"])
def test_backbone_without_features(consistency: str) -> None:
    data = batch()
    plain = build(lambda: nn.Conv2d(3, 1, 1), consistency=consistency).losses(data, 0.0)
    torch.testing.assert_close(plain, build(consistency=consistency).losses(data, 0.0))
    with pytest.raises(ValueError, match="consistency=prop needs a backbone with features, not Conv2d"):
        build(lambda: nn.Conv2d(3, 1, 1))
    with pytest.raises(ValueError, match="kernel_size must be odd, got 4"):
        build(kernel_size=4)
