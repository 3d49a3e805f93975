"""Learning-rate schedules, step by step."""

import io
import json
from functools import partial
from pathlib import Path

import pytest
import torch
from torch.optim.lr_scheduler import LRScheduler, MultiStepLR, PolynomialLR, ReduceLROnPlateau, StepLR

from fovea.engine.schedules import constant, cosine_per_epoch, cosine_with_warmup, per_epoch, polynomial

PUBLISHED = json.loads((Path(__file__).parents[1] / "reference" / "lr_schedule.json").read_text())
SCHEDULES = [
    constant,
    partial(cosine_per_epoch, minimum=1e-4),
    partial(cosine_with_warmup, warmup_steps=3, minimum=1e-4),
    partial(polynomial, power=0.9, minimum=1e-4),
    partial(per_epoch, schedule=partial(StepLR, step_size=1)),
]


def optimizer(*rates: float) -> torch.optim.SGD:
    return torch.optim.SGD([{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": rate} for rate in rates])


def walk(schedule: LRScheduler, steps: int, group: int = 0) -> list[float]:
    """The rate that each of the next steps of the optimizer uses."""
    rates = []
    for _ in range(steps):
        rates.append(schedule.get_last_lr()[group])
        schedule.optimizer.step()
        schedule.step()
    return rates


def test_cosine_per_epoch_is_the_published_schedule() -> None:
    rates = walk(cosine_per_epoch(optimizer(1e-2), max_steps=15000, steps_per_epoch=113, minimum=1e-4), 15000)
    assert rates[::113] == pytest.approx(PUBLISHED["lr_by_epoch"], rel=1e-12)
    assert len(set(rates[:113])) == len(set(rates[113:226])) == 1


def test_warmup_rises_linearly_then_falls_to_the_minimum() -> None:
    rates = walk(cosine_with_warmup(optimizer(1.0), max_steps=24, steps_per_epoch=10, warmup_steps=4, minimum=0.2), 26)
    assert rates[:4] == pytest.approx([0.4, 0.6, 0.8, 1.0])
    assert (rates[14], rates[24], rates[25]) == pytest.approx((0.6, 0.2, 0.2))
    schedule = cosine_with_warmup(optimizer(1.0, 0.5), max_steps=4, steps_per_epoch=1, warmup_steps=0, minimum=0.1)
    walk(schedule, 2)
    assert schedule.get_last_lr() == pytest.approx([0.55, 0.3])  # each group from its own rate


def test_warmup_of_epochs_is_that_of_their_steps() -> None:
    of_epochs = cosine_with_warmup(optimizer(1.0), 100, steps_per_epoch=10, warmup_steps=1, warmup_epochs=2)
    of_steps = cosine_with_warmup(optimizer(1.0), 100, steps_per_epoch=10, warmup_steps=21)
    assert walk(of_epochs, 100) == walk(of_steps, 100)
    with pytest.raises(ValueError, match=r"warmup_epochs=10 of 10 steps must be below the 100 steps"):
        cosine_with_warmup(optimizer(1.0), 100, steps_per_epoch=10, warmup_steps=0, warmup_epochs=10)


def test_polynomial_is_that_of_torch_and_ends_at_the_minimum() -> None:
    theirs = PolynomialLR(optimizer(0.5), total_iters=20, power=0.9)
    assert walk(polynomial(optimizer(0.5), 20, 3, power=0.9), 25) == pytest.approx(walk(theirs, 25), abs=1e-12)
    rates = walk(polynomial(optimizer(1.0), max_steps=4, steps_per_epoch=1, power=2, minimum=0.2), 6)
    assert rates == pytest.approx([1.0, 0.65, 0.4, 0.25, 0.2, 0.2])


def test_a_schedule_of_torch_counts_epochs() -> None:
    rates = walk(per_epoch(optimizer(1.0), 15, 3, partial(MultiStepLR, milestones=[2, 4])), 15)
    assert rates == pytest.approx([1.0] * 6 + [0.1] * 6 + [0.01] * 3)
    with pytest.raises(ValueError, match="ReduceLROnPlateau needs a validation score"):
        per_epoch(optimizer(1.0), 12, 3, ReduceLROnPlateau)  # type: ignore[arg-type]


def test_constant_stays_and_the_rate_does_not_rise_after_the_end() -> None:
    assert set(walk(constant(optimizer(0.3), max_steps=5, steps_per_epoch=2), 8)) == {0.3}
    rates = walk(cosine_per_epoch(optimizer(1.0), max_steps=9, steps_per_epoch=5, minimum=0.1), 20)
    assert rates[10:] == pytest.approx([0.1] * 10)


@pytest.mark.parametrize("make", SCHEDULES)
def test_state_resumes(make: partial) -> None:
    for done in (5, 6):  # within an epoch, and at its end
        whole = make(optimizer(1.0), max_steps=12, steps_per_epoch=3)
        walk(whole, done)
        file = io.BytesIO()
        torch.save({"schedule": whole.state_dict(), "optimizer": whole.optimizer.state_dict()}, file)
        file.seek(0)
        state = torch.load(file, weights_only=True)
        resumed = make(optimizer(1.0), max_steps=12, steps_per_epoch=3)
        resumed.load_state_dict(state["schedule"])
        resumed.optimizer.load_state_dict(state["optimizer"])
        assert walk(resumed, 6) == walk(whole, 6)


@pytest.mark.parametrize("rate", [0.0, 0.1])
def test_a_rate_below_the_minimum_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match=r"^lr must be positive and at least minimum=0\.5"):
        cosine_per_epoch(optimizer(rate), 9, 3, minimum=0.5)
