"""Which thresholds of a map serve best: Dice at all of them, from one count of the pixels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

GRID = tuple(round(0.02 * step, 2) for step in range(1, 50))
"""Thresholds of the curve: 0.02 to 0.98."""

_DEPTH = 65535  # steps of a stored map: what training thresholds is measured, to the last bit
_VALUES = np.arange(_DEPTH + 1, dtype=np.float32) / np.float32(_DEPTH)
_FLAT = 0.005  # Dice that is not worth arguing about


def quantised(values: np.ndarray) -> np.ndarray:
    """A map as the store keeps it: whole steps of 1/65535, uint16 [H, W].

    Args:
        values: [H, W]; what is outside [0, 1] is clipped.
    """
    return np.rint(np.clip(values, 0.0, 1.0) * _DEPTH).astype(np.uint16)


def dice_at(levels: np.ndarray, mask: np.ndarray, thresholds: Sequence[float]) -> np.ndarray:
    """Dice of `map >= t` with a mask for every threshold t, by counting once how many pixels have each level.

    Two empty masks score 1.

    Args:
        levels: [H, W] as `quantised` makes them.
        mask: [H, W], 0 is background.
        thresholds: [T], in any order.

    Returns:
        float64 [T].
    """
    inside = mask > 0
    predicted, both = _at_least(levels.ravel()), _at_least(levels[inside])
    first = np.searchsorted(_VALUES, np.asarray(thresholds, np.float32))  # the lowest level that reaches t
    sizes = predicted[first] + np.count_nonzero(inside)
    return np.where(sizes > 0, 2 * both[first] / np.maximum(sizes, 1), 1.0)


@dataclass(frozen=True)
class Curve:
    """Dice against threshold over the images of a set.

    Attributes:
        thresholds: [T], rising.
        dice: [N, T], N at least 1.
    """

    thresholds: np.ndarray
    dice: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """[T] over the images."""
        return self.dice.mean(axis=0)

    def best(self) -> tuple[float, float, float]:
        """The level of the highest mean Dice, that Dice, and its standard error; the lower one of equal levels."""
        place = int(np.argmax(self.mean))
        error = self.dice[:, place].std() / np.sqrt(len(self.dice))
        return float(self.thresholds[place]), float(self.mean[place]), float(error)

    def plateau(self) -> tuple[float, float]:
        """The lowest and highest level around the best one that are as good, within 0.005 of mean Dice."""
        good = self.mean >= self.mean.max() - _FLAT
        low = high = int(np.argmax(self.mean))
        while low > 0 and good[low - 1]:
            low -= 1
        while high < len(good) - 1 and good[high + 1]:
            high += 1
        return float(self.thresholds[low]), float(self.thresholds[high])

    def best_pair(self) -> tuple[float, float, float]:
        """Two levels, the higher first, whose better one has the highest mean Dice, and that Dice.

        Which one is better is looked up for each image, so the Dice bounds from above what the two can give.
        """
        columns = range(len(self.thresholds))
        means = np.array([np.maximum(self.dice, self.dice[:, [column]]).mean(axis=0) for column in columns])
        one, other = np.unravel_index(int(np.argmax(means)), means.shape)
        low, high = sorted((one, other))
        return float(self.thresholds[high]), float(self.thresholds[low]), float(means[one, other])


def _at_least(levels: np.ndarray) -> np.ndarray:
    """[65537]: how many of the levels are k or more, for k from 0 on."""
    counts = np.bincount(levels, minlength=_DEPTH + 1)
    return np.append(np.cumsum(counts[::-1])[::-1], 0)
