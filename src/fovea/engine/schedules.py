"""Learning-rate schedules, stepped once after every step of the optimizer.

Each takes the optimizer, whose parameter groups have their own `lr`, the steps of the whole training, and the steps of
the optimizer in one epoch. `minimum` is the rate after the last step.
"""

import math
from collections.abc import Callable
from inspect import signature
from typing import Any

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau

from fovea.runtime.bounds import NonNegative, NonNegativeInt, Positive


def schedule_of(
    factory: Callable[..., LRScheduler], optimizer: Optimizer, max_steps: int, steps_per_epoch: int
) -> LRScheduler:
    """Build a schedule of this module or of torch, which counts steps; a ValueError for one that follows a score."""
    steps = {"max_steps": max_steps, "steps_per_epoch": steps_per_epoch}
    taken = signature(factory).parameters
    schedule = factory(optimizer, **{name: value for name, value in steps.items() if name in taken})
    if isinstance(schedule, ReduceLROnPlateau):
        raise ValueError("scheduler: ReduceLROnPlateau needs a validation score, and a step has none; choose another")
    return schedule


def constant(optimizer: Optimizer, max_steps: int, steps_per_epoch: int) -> LambdaLR:
    """Keep `optimizer.lr` throughout."""
    return _schedule(optimizer, lambda step: 1.0, minimum=0.0)


def cosine_per_epoch(optimizer: Optimizer, max_steps: int, steps_per_epoch: int, minimum: NonNegative) -> LambdaLR:
    """Fall along half a cosine, constant within an epoch: the schedule of GazeMedSeg.

    In epoch e = 1..T, T = floor(max_steps / steps_per_epoch) + 1, the rate is
    minimum + (lr - minimum) (1 + cos(pi e / T)) / 2. Zhong et al., "Weakly-supervised Medical Image Segmentation with
    Gaze Annotations", MICCAI 2024. (Its release applies the rate one epoch late.)
    """
    epochs = max_steps // steps_per_epoch + 1
    return _schedule(optimizer, lambda step: _half_cosine((step // steps_per_epoch + 1) / epochs), minimum)


def cosine_with_warmup(
    optimizer: Optimizer,
    max_steps: int,
    steps_per_epoch: int,
    warmup_steps: NonNegativeInt,
    minimum: NonNegative = 0.0,
    warmup_epochs: NonNegativeInt = 0,
) -> LambdaLR:
    """Rise linearly to `optimizer.lr` over a warm-up, then fall along half a cosine, step by step.

    Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017 (without restarts). The
    full rate is reached after `warmup_steps` and, in addition, `warmup_epochs`: less than the training.
    """
    rise = warmup_steps + warmup_epochs * steps_per_epoch
    if rise >= max_steps:
        given = f"warmup_steps={warmup_steps} and warmup_epochs={warmup_epochs} of {steps_per_epoch} steps"
        raise ValueError(f"{given} must be below the {max_steps} steps of the training, got {rise}")

    def fraction(step: int) -> float:
        return (step + 1) / rise if step < rise else _half_cosine((step - rise) / (max_steps - rise))

    return _schedule(optimizer, fraction, minimum)


def polynomial(
    optimizer: Optimizer, max_steps: int, steps_per_epoch: int, power: Positive, minimum: NonNegative = 0.0
) -> LambdaLR:
    """Fall along (1 - step / max_steps) ** power, step by step: the "poly" policy.

    Chen et al., "DeepLab: Semantic Image Segmentation with Deep Convolutional Nets, Atrous Convolution, and Fully
    Connected CRFs", TPAMI 2018 (power 0.9). A power of 1 is a straight line; the smaller, the later the rate falls.
    """
    return _schedule(optimizer, lambda step: max(1 - step / max_steps, 0.0) ** power, minimum)


def per_epoch(
    optimizer: Optimizer, max_steps: int, steps_per_epoch: int, schedule: Callable[..., LRScheduler]
) -> "PerEpoch":
    """Follow a schedule of torch that counts epochs, e.g. StepLR; given as it is, it counts steps."""
    return PerEpoch(schedule_of(schedule, optimizer, max_steps, steps_per_epoch), steps_per_epoch)


class PerEpoch(LRScheduler):
    """Step another schedule after each epoch. It is called after each step, so it resumes in the middle of an epoch."""

    def __init__(self, schedule: LRScheduler, steps_per_epoch: int) -> None:
        self.schedule, self.optimizer = schedule, schedule.optimizer
        self.steps_per_epoch, self.done = steps_per_epoch, 0

    def step(self, epoch: int | None = None) -> None:
        """Count a step of the optimizer."""
        self.done += 1
        if self.done % self.steps_per_epoch == 0:
            self.schedule.step()

    def get_last_lr(self) -> list[float | Tensor]:
        """Return the rates of the parameter groups."""
        return self.schedule.get_last_lr()

    def state_dict(self) -> dict[str, Any]:
        """Return the number of steps, and the state of the schedule."""
        return {"done": self.done, "schedule": self.schedule.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a state."""
        self.done = state_dict["done"]
        self.schedule.load_state_dict(state_dict["schedule"])


def _half_cosine(progress: float) -> float:
    """Fall from 1 at 0 to 0 at 1, and stay there: without the limit the rate would rise again."""
    return (1 + math.cos(math.pi * min(progress, 1.0))) / 2


def _schedule(optimizer: Optimizer, fraction: Callable[[int], float], minimum: float) -> LambdaLR:
    """Set the rate of each parameter group to minimum + (lr - minimum) fraction(step)."""
    rates = [float(group["lr"]) for group in optimizer.param_groups]
    if not all(0 <= minimum <= rate and rate > 0 for rate in rates):
        raise ValueError(f"lr must be positive and at least minimum={minimum}, got {min(rates)}")

    def factor(rate: float) -> Callable[[int], float]:
        return lambda step: (minimum + (rate - minimum) * fraction(step)) / rate

    return LambdaLR(optimizer, [factor(rate) for rate in rates])
