"""Dice of a map at many thresholds, from one count of its pixels, and the best thresholds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fovea.losses import IGNORE

GRID = tuple(round(0.02 * step, 2) for step in range(1, 50))
"""Thresholds of the curve: 0.02 to 0.98."""

DEPTH = 65535  # steps of a stored map, so that the Dice is that of the map that training reads
_VALUES = np.arange(DEPTH + 1, dtype=np.float32) / np.float32(DEPTH)
_FLAT = 0.005  # a difference in Dice that does not matter


def quantized(values: np.ndarray) -> np.ndarray:
    """Return a map [H, W] as the store keeps it: clipped to [0, 1], in steps of 1/65535, uint16."""
    return np.rint(np.clip(values, 0.0, 1.0) * DEPTH).astype(np.uint16)


def dice_at(levels: np.ndarray, mask: np.ndarray, thresholds: Sequence[float]) -> np.ndarray:
    """Return the Dice of `map >= t` with a mask for every threshold t, float64 [T]. Two empty masks score 1.

    `levels` are uint16 [H, W] of `quantized`. In the mask [H, W], 0 is background, and pixels of -1 are left out.
    """
    inside = mask > 0
    predicted, both = _at_least(levels[mask != IGNORE]), _at_least(levels[inside])
    first = np.searchsorted(_VALUES, np.asarray(thresholds, np.float32))  # the lowest level at or above t
    sizes = predicted[first] + np.count_nonzero(inside)
    return np.where(sizes > 0, 2 * both[first] / np.maximum(sizes, 1), 1.0)


@dataclass(frozen=True)
class Curve:
    """Dice by threshold, of the images of a set."""

    thresholds: np.ndarray  # [T], rising
    dice: np.ndarray  # [N, T], N at least 1

    @property
    def mean(self) -> np.ndarray:
        """The mean over the images, [T]."""
        return self.dice.mean(axis=0)

    def best(self) -> tuple[float, float, float]:
        """Return the threshold of the highest mean Dice, the lowest of equal ones; that Dice; its standard error.

        The error of one image is nan.
        """
        place = int(np.argmax(self.mean))
        error = self.dice[:, place].std(ddof=1) / np.sqrt(len(self.dice)) if len(self.dice) > 1 else np.nan
        return float(self.thresholds[place]), float(self.mean[place]), float(error)

    def plateau(self) -> tuple[float, float]:
        """Return the lowest and highest threshold around the best one whose mean Dice is within 0.005 of the best."""
        bad = np.flatnonzero(self.mean < self.mean.max() - _FLAT)
        place = np.searchsorted(bad, np.argmax(self.mean))
        edges = [-1, *bad, len(self.thresholds)]
        return float(self.thresholds[edges[place] + 1]), float(self.thresholds[edges[place + 1] - 1])

    def best_pair(self) -> tuple[float, float, float] | None:
        """Return two thresholds, the higher first, and the mean Dice if every image takes the better one of the two.

        The pair has the highest such mean. It is an upper bound of what an ensemble of two levels can reach. None if it
        is within 0.005 of the best single threshold.
        """
        columns = range(len(self.thresholds))
        means = np.array([np.maximum(self.dice, self.dice[:, [column]]).mean(axis=0) for column in columns])
        if means.max() <= self.mean.max() + _FLAT:
            return None
        one, other = np.unravel_index(int(np.argmax(means)), means.shape)
        low, high = sorted((one, other))
        return float(self.thresholds[high]), float(self.thresholds[low]), float(means[one, other])


def _at_least(levels: np.ndarray) -> np.ndarray:
    """Return how many of the levels are k or more, [65537], for k from 0."""
    counts = np.bincount(levels, minlength=DEPTH + 1)
    return np.append(np.cumsum(counts[::-1])[::-1], 0)
