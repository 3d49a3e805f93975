"""The uncertain band beyond the contract."""

import pytest
import torch
from torch import nn

from fovea.supervision.band import Band


def build(thresholds: list[float]) -> Band:
    torch.manual_seed(0)
    return Band(lambda: nn.Conv2d(3, 1, 1), nn.BCEWithLogitsLoss(), thresholds)


def batch(values: list[float]) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {"image": torch.randn(1, 3, 1, len(values)), "pseudo": torch.tensor(values).reshape(1, 1, 1, -1)}


@pytest.mark.parametrize("thresholds", [[0.5, 0.25], [0.25, 0.5], [0.25, 0.3, 0.5]])
def test_limits_of_the_band(thresholds: list[float]) -> None:
    mode, data = build(thresholds), batch([0.5, 0.9, 0.49, 0.25, 0.24, 0.0])
    terms = mode.losses(data, 0.0)
    certain = data["image"][..., [0, 1, 4, 5]]
    target = torch.tensor([1.0, 1.0, 0.0, 0.0]).reshape(1, 1, 1, 4)
    torch.testing.assert_close(terms["loss"], mode.loss(mode.network(certain), target))
    assert terms["certain"].item() == pytest.approx(4 / 6)


def test_batch_inside_the_band_trains_nothing_and_one_threshold_has_no_band() -> None:
    mode = build([0.5, 0.3])
    loss = mode.losses(batch([0.4, 0.45, 0.31]), 0.0)["loss"]
    loss.backward()
    assert loss.item() == 0
    assert all(value.grad is not None and not value.grad.any() for value in mode.parameters())
    mode, data = build([0.5]), batch([0.5, 0.9, 0.49, 0.0])
    expected = mode.loss(mode.network(data["image"]), (data["pseudo"] >= 0.5).float())
    torch.testing.assert_close(mode.losses(data, 0.0)["loss"], expected)
