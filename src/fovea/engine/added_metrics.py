"""Metrics of torchmetrics that a configuration adds in its group `metrics`."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fovea.runtime.config import instantiate


class AddedMetrics(nn.ModuleDict):
    """Metrics over all labeled pixels of a split, by name; `classes` are the channels of a prediction.

    With one class, a metric gets probabilities [N] and targets [N] of 0 and 1; with several, [N, K] and classes [N]. A
    ValueError if one is no metric, does not accept these classes, or returns more than one number.
    """

    def __init__(self, config: Mapping[str, Any], classes: int) -> None:
        super().__init__()
        if chosen := {name: metric for name, metric in config.items() if metric}:
            from torchmetrics import Metric  # takes seconds, which an evaluation without such metrics can do without

            self.update({name: instantiate(metric, f"metrics.{name}", Metric) for name, metric in chosen.items()})
        target = torch.arange(max(classes, 2))  # each class once, predicted right
        probability = torch.eye(max(classes, 2))
        self._add(probability[:, 1] if classes == 1 else probability, target)
        self.compute()

    def add(self, probability: Tensor, target: Tensor) -> None:
        """Count probabilities [B, K, *size] against class indices [B, *size]; pixels of -1 are left out."""
        if self:
            labeled = target >= 0
            pixels = probability.float().movedim(1, -1)[labeled]
            self._add(pixels[:, 0] if pixels.shape[1] == 1 else pixels, target[labeled])

    def compute(self) -> dict[str, float]:
        """Return the number of each metric, and start again."""
        numbers = {}
        for name, metric in self.items():
            value = metric.compute()  # type: ignore[operator]
            if not isinstance(value, Tensor | float) or (isinstance(value, Tensor) and value.numel() != 1):
                raise ValueError(f"metrics.{name}: does not return one number; see its arguments, e.g. average=macro")
            numbers[name] = float(value)
            metric.reset()  # type: ignore[operator]
        return numbers

    def _add(self, pixels: Tensor, target: Tensor) -> None:
        for name, metric in self.items():
            try:
                metric.update(pixels, target)  # type: ignore[operator]
            except Exception as error:  # metrics raise what they like
                raise ValueError(f"metrics.{name}: {error}; probabilities are {list(pixels.shape)}") from error
