"""Thresholds of a pseudo-mask's map, fixed or drawn for each batch."""

from collections.abc import Sequence

import torch


class Thresholds:
    """Thresholds of a map in [0, 1]. A threshold that is a range is drawn for each training batch.

    A threshold that varies teaches the network how certain each side of the border is. Draws are uniform, by the seed
    of the run. Fixed thresholds draw nothing.

    Args:
        values: Numbers in (0, 1], or pairs `[low, high]` of such numbers.

    Raises:
        ValueError: no value, or a value outside (0, 1].
    """

    def __init__(self, values: Sequence[float | Sequence[float]]) -> None:
        self.values = list(values)
        self.ranges = [tuple(value) if isinstance(value, Sequence) else (value, value) for value in values]
        if not self.ranges or not all(len(pair) == 2 and 0 < pair[0] <= pair[1] <= 1 for pair in self.ranges):
            raise ValueError(f"thresholds must be numbers in (0, 1] or ranges as [0.4, 0.6], got {self.values}")

    def draw(self) -> list[float]:
        """Return a number for each threshold, in their order."""
        return [low if low == high else torch.empty(()).uniform_(low, high).item() for low, high in self.ranges]
