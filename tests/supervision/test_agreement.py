"""The agreement of levels with their pseudo-masks, compared with a Dice counted pixel by pixel."""

import logging

import pytest
import torch
from torch import Tensor, distributed

from fovea.supervision.agreement import Agreement


def draw(seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits, targets = (torch.randn(2, 3, 1, 4, 5, generator=generator) for _ in range(2))
    return logits, (targets > 0.5).float()


def naive(pairs: list[tuple[Tensor, Tensor]], level: int) -> float:
    both = predicted = wanted = 0
    for logits, targets in pairs:
        for z, y in zip(logits[level].flatten().tolist(), targets[level].flatten().tolist(), strict=True):
            both += (z > 0) and (y == 1)
            predicted += z > 0
            wanted += y == 1
    return 2 * both / (predicted + wanted)


def test_dice_of_one_batch_and_of_all_in_a_long_window() -> None:
    for window in (1, 100):
        agreement = Agreement(2, window)
        agreement.update(*draw(0))
        assert agreement.dice().tolist() == pytest.approx([naive([draw(0)], level) for level in (0, 1)])
    agreement = Agreement(2, 100_000)
    for seed in range(5):
        agreement.update(*draw(seed))
    expected = [naive([draw(seed) for seed in range(5)], level) for level in range(2)]
    torch.testing.assert_close(agreement.dice(), torch.tensor(expected), rtol=1e-3, atol=0)


def test_weights_before_and_in_training() -> None:
    agreement = Agreement(2, 1)
    assert agreement.weights().tolist() == [0.5, 0.5]
    logits, targets = draw(0)
    agreement.update(torch.stack([-logits[0].abs(), 10 * (targets[1] - 0.5)]), targets)
    torch.testing.assert_close(agreement.weights(), torch.tensor([0.0, 1.0]), atol=1e-5, rtol=0)


def test_processes_share_the_average(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = Agreement(2, 1)
    theirs.update(*draw(1))
    ours, together = Agreement(2, 1), Agreement(2, 1)
    together.update(*(torch.cat(pair, dim=1) for pair in zip(draw(0), draw(1), strict=True)))
    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(distributed, "all_reduce", lambda shares: shares.add_(theirs.running))
    ours.update(*draw(0))
    torch.testing.assert_close(ours.running, together.running)


def test_collapse_and_recovery_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    agreement, (logits, targets) = Agreement(2, 1), draw(0)
    for first in (-logits[0].abs(), -logits[0].abs(), logits[0].abs(), -logits[0].abs()):
        agreement.update(torch.stack([first, logits[1]]), targets)
        agreement.after_step(["one", "two"], "advice")
    said = [record.message.partition(" ")[2][:13] for record in caplog.records]
    assert said == ["predicts only", "has recovered", "predicts only"]
