"""Thresholds of a pseudo-mask's map, fixed or drawn for each batch."""

from collections.abc import Sequence

import torch


class Thresholds:
    """Thresholds of a map in [0, 1]; one that is given as a range is drawn anew for each training batch.

    A border that moves tells a network which side of it is sure, and by how much. Draws are uniform and come from
    PyTorch's own generator, which the seed of the run sets; fixed thresholds draw nothing.

    Args:
        given: Numbers in (0, 1], or pairs `[low, high]` of such.

    Raises:
        ValueError: nothing is given, or something else.
    """

    def __init__(self, given: Sequence[float | Sequence[float]]) -> None:
        self.given = list(given)
        self.ranges = [tuple(each) if isinstance(each, Sequence) else (each, each) for each in given]
        if not self.ranges or not all(len(pair) == 2 and 0 < pair[0] <= pair[1] <= 1 for pair in self.ranges):
            raise ValueError(
                f"supervision.thresholds={self.given}: give one or more numbers in (0, 1], or ranges such as [0.4, 0.6]"
            )

    def __len__(self) -> int:
        return len(self.ranges)

    def draw(self) -> list[float]:
        """One number for each threshold, in the order that they were given in."""
        return [low if low == high else torch.empty(()).uniform_(low, high).item() for low, high in self.ranges]
