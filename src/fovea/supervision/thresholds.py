"""Thresholds of a pseudo-mask's map: fixed, or drawn for each batch."""

from collections.abc import Sequence

import torch
from torch import Tensor

from fovea.losses import IGNORE

Values = Sequence[float | Sequence[float]]


class Thresholds:
    """Thresholds of a map in [0, 1]. A threshold that is a range is drawn for each training batch.

    A threshold that varies teaches the network how certain each side of the border is. Draws are uniform, by the seed
    of the run. Fixed thresholds draw nothing. `values` are numbers in (0, 1], or pairs `[low, high]` of such numbers. A
    ValueError for no value, or a value outside (0, 1].
    """

    def __init__(self, values: Values) -> None:
        self.values = [*values] if isinstance(values, Sequence) else []
        self.ranges = [value if isinstance(value, Sequence) else (value, value) for value in self.values]
        if not self.ranges or not all(map(_is_range, self.ranges)):
            raise ValueError(f"thresholds must be numbers in (0, 1], or ranges as [0.4, 0.6], got {values}")

    def draw(self, pseudo: Tensor) -> Tensor:
        """Return the thresholds of a batch of maps, in their order, as a tensor [T] like the maps."""
        drawn = [low if low == high else torch.empty(()).uniform_(low, high).item() for low, high in self.ranges]
        return pseudo.new_tensor(drawn)

    def trimap(self, pseudo: Tensor) -> Tensor:
        """Return 1 from the largest threshold up, 0 below the smallest one, and -1 in the uncertain band between."""
        thresholds = self.draw(pseudo)
        foreground, background = pseudo >= thresholds.amax(), pseudo < thresholds.amin()
        return torch.where(foreground | background, foreground.to(pseudo.dtype), IGNORE)


def _is_range(pair: Sequence[float]) -> bool:
    return len(pair) == 2 and all(isinstance(value, float | int) for value in pair) and 0 < pair[0] <= pair[1] <= 1
