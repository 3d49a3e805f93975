"""Learning-rate schedules, each stepped once after every step of the optimiser."""

import math
from collections.abc import Callable

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def constant(optimizer: Optimizer, max_steps: int, steps_per_epoch: int) -> LambdaLR:
    """Keep `optimizer.lr` throughout."""
    return _schedule(optimizer, max_steps, steps_per_epoch, lambda step: 1.0, minimum=0.0)


def cosine_per_epoch(optimizer: Optimizer, max_steps: int, steps_per_epoch: int, minimum: float) -> LambdaLR:
    """Fall along half a cosine, constant within an epoch: the schedule of GazeMedSeg.

    In epoch e = 1..T, T = floor(max_steps / steps_per_epoch) + 1, the rate is
    minimum + (lr - minimum) (1 + cos(pi e / T)) / 2. Zhong et al., "Weakly-supervised Medical Image Segmentation with
    Gaze Annotations", MICCAI 2024. (Its release applies the rate one epoch late.)

    Args:
        optimizer: Whose rates fall from their own `lr`.
        max_steps: Steps of the whole training.
        steps_per_epoch: Steps of the optimiser in one epoch.
        minimum: The rate of the last epoch.

    Raises:
        ValueError: a number of steps or a rate makes no sense.
    """

    def share(step: int) -> float:
        epochs = max_steps // steps_per_epoch + 1
        return _half_cosine((step // steps_per_epoch + 1) / epochs)

    return _schedule(optimizer, max_steps, steps_per_epoch, share, minimum)


def cosine_with_warmup(
    optimizer: Optimizer,
    max_steps: int,
    steps_per_epoch: int,
    warmup_steps: int,
    minimum: float = 0.0,
    warmup_epochs: int = 0,
) -> LambdaLR:
    """Rise linearly to `optimizer.lr` over a warm-up, then fall along half a cosine, step by step.

    Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017 (without restarts).

    Args:
        optimizer: Whose rates rise to their own `lr`.
        max_steps: Steps of the whole training, the warm-up included.
        steps_per_epoch: Steps of the optimiser in one epoch.
        warmup_steps: Steps until the full rate.
        minimum: The rate after the last step, and the one that the warm-up rises from.
        warmup_epochs: Epochs until the full rate, on top of those steps.

    Raises:
        ValueError: a number of steps or a rate makes no sense.
    """
    rise = warmup_steps + warmup_epochs * steps_per_epoch
    if warmup_steps < 0 or warmup_epochs < 0 or rise >= max_steps:
        given = f"scheduler.warmup_steps={warmup_steps}"
        if warmup_epochs:
            given += f" and scheduler.warmup_epochs={warmup_epochs} of {steps_per_epoch} steps"
        raise ValueError(f"{given}: give less than the {max_steps} steps of the training")

    def share(step: int) -> float:
        if step < rise:
            return (step + 1) / rise
        return _half_cosine((step - rise) / (max_steps - rise))

    return _schedule(optimizer, max_steps, steps_per_epoch, share, minimum)


def polynomial(
    optimizer: Optimizer, max_steps: int, steps_per_epoch: int, power: float, minimum: float = 0.0
) -> LambdaLR:
    """Fall along (1 - step / max_steps) ** power, step by step: the "poly" policy.

    Chen et al., "DeepLab: Semantic Image Segmentation with Deep Convolutional Nets, Atrous Convolution, and Fully
    Connected CRFs", TPAMI 2018 (power 0.9).

    Args:
        optimizer: Whose rates fall from their own `lr`.
        max_steps: Steps of the whole training.
        steps_per_epoch: Not read; every schedule takes it.
        power: 1 is a straight line; the smaller, the later the rate falls.
        minimum: The rate after the last step.

    Raises:
        ValueError: a number of steps, a rate or the power makes no sense.
    """
    if not 0 < power < math.inf:
        raise ValueError(f"scheduler.power={power}: give a positive number, such as 0.9")

    def share(step: int) -> float:
        return max(1 - step / max_steps, 0.0) ** power

    return _schedule(optimizer, max_steps, steps_per_epoch, share, minimum)


def _half_cosine(progress: float) -> float:
    """From 1 at 0 to 0 at 1 and beyond: without the limit the rate would rise again."""
    return (1 + math.cos(math.pi * min(progress, 1.0))) / 2


def _schedule(
    optimizer: Optimizer, max_steps: int, steps_per_epoch: int, share: Callable[[int], float], minimum: float
) -> LambdaLR:
    """Set each rate to minimum + (lr - minimum) share(step), for parameter groups of whatever rates."""
    for key, value in {"trainer.max_steps": max_steps, "steps per epoch": steps_per_epoch}.items():
        if value < 1:
            raise ValueError(f"{key}={value}: a schedule needs 1 or more")
    rates = [float(group["lr"]) for group in optimizer.param_groups]
    if not all(0 <= minimum <= rate and rate > 0 for rate in rates):
        raise ValueError(f"optimizer.lr={min(rates)}: give a positive rate, at least scheduler.minimum={minimum}")

    def factor(rate: float) -> Callable[[int], float]:
        return lambda step: (minimum + (rate - minimum) * share(step)) / rate

    return LambdaLR(optimizer, [factor(rate) for rate in rates])
