"""Learning rates step by step."""

import io
import json
from functools import partial
from pathlib import Path

import pytest
import torch
from torch.optim.lr_scheduler import LambdaLR

from fovea.engine.schedules import constant, cosine_per_epoch, cosine_with_warmup, polynomial

PUBLISHED = json.loads((Path(__file__).parents[1] / "reference" / "lr_schedule.json").read_text())
SCHEDULES = [
    constant,
    partial(cosine_per_epoch, minimum=1e-4),
    partial(cosine_with_warmup, warmup_steps=3, minimum=1e-4),
    partial(polynomial, power=0.9, minimum=1e-4),
]


def optimizer(*rates: float) -> torch.optim.SGD:
    return torch.optim.SGD([{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": rate} for rate in rates])


def walk(schedule: LambdaLR, steps: int, group: int = 0) -> list[float]:
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


def test_cosine_per_epoch_is_constant_within_an_epoch() -> None:
    rates = walk(cosine_per_epoch(optimizer(1e-2), max_steps=20, steps_per_epoch=5, minimum=1e-4), 20)

    assert [len(set(rates[start : start + 5])) for start in range(0, 20, 5)] == [1, 1, 1, 1]
    assert len(set(rates)) == 4


def test_warmup_rises_linearly_to_the_full_rate() -> None:
    rates = walk(cosine_with_warmup(optimizer(1.0), max_steps=100, steps_per_epoch=10, warmup_steps=4), 5)

    assert rates == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])


def test_warmup_of_epochs_is_that_of_their_steps() -> None:
    of_epochs = cosine_with_warmup(optimizer(1.0), 100, steps_per_epoch=10, warmup_steps=1, warmup_epochs=2)
    of_steps = cosine_with_warmup(optimizer(1.0), 100, steps_per_epoch=10, warmup_steps=21)

    assert walk(of_epochs, 100) == walk(of_steps, 100)


@pytest.mark.parametrize(("steps", "epochs"), [(100, 0), (0, 10)])
def test_warmup_as_long_as_the_training_is_refused(steps: int, epochs: int) -> None:
    with pytest.raises(ValueError, match=rf"warmup_epochs={epochs} of 10 steps must be below the 100 steps"):
        cosine_with_warmup(optimizer(1.0), 100, steps_per_epoch=10, warmup_steps=steps, warmup_epochs=epochs)


def test_cosine_after_the_warmup_ends_at_the_minimum() -> None:
    schedule = cosine_with_warmup(optimizer(1.0), max_steps=24, steps_per_epoch=10, warmup_steps=4, minimum=0.2)

    rates = walk(schedule, 26)

    assert rates[14] == pytest.approx(0.6)
    assert rates[24:] == pytest.approx([0.2, 0.2])


def test_polynomial_is_that_of_torch() -> None:
    theirs = torch.optim.lr_scheduler.PolynomialLR(optimizer(0.5), total_iters=20, power=0.9)

    assert walk(polynomial(optimizer(0.5), 20, 3, power=0.9), 25) == pytest.approx(walk(theirs, 25), abs=1e-12)


def test_polynomial_ends_at_the_minimum() -> None:
    rates = walk(polynomial(optimizer(1.0), max_steps=4, steps_per_epoch=1, power=2, minimum=0.2), 6)

    assert rates == pytest.approx([1.0, 0.65, 0.4, 0.25, 0.2, 0.2])


def test_constant_stays() -> None:
    assert set(walk(constant(optimizer(0.3), max_steps=5, steps_per_epoch=2), 8)) == {0.3}


def test_the_rate_does_not_rise_after_the_end() -> None:
    rates = walk(cosine_per_epoch(optimizer(1.0), max_steps=9, steps_per_epoch=5, minimum=0.1), 20)

    assert rates[10:] == pytest.approx([0.1] * 10)


def test_each_group_falls_from_its_own_rate() -> None:
    schedule = cosine_with_warmup(optimizer(1.0, 0.5), max_steps=4, steps_per_epoch=1, warmup_steps=0, minimum=0.1)

    walk(schedule, 2)

    assert schedule.get_last_lr() == pytest.approx([0.55, 0.3])


@pytest.mark.parametrize("make", SCHEDULES)
def test_state_resumes(make: partial) -> None:
    whole = make(optimizer(1.0), max_steps=12, steps_per_epoch=3)
    walk(whole, 5)
    file = io.BytesIO()
    torch.save(whole.state_dict(), file)
    file.seek(0)

    resumed = make(optimizer(1.0), max_steps=12, steps_per_epoch=3)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    resumed.step()
    whole.step()

    assert resumed.get_last_lr() == whole.get_last_lr()


@pytest.mark.parametrize(
    ("rate", "max_steps", "steps_per_epoch", "name"),
    [(1.0, 0, 1, "max_steps"), (1.0, 9, 0, "steps_per_epoch"), (0.0, 9, 1, "lr"), (0.1, 9, 3, "lr")],
)
def test_invalid_argument_is_refused(rate: float, max_steps: int, steps_per_epoch: int, name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be"):
        cosine_per_epoch(optimizer(rate), max_steps, steps_per_epoch, minimum=0.5)
