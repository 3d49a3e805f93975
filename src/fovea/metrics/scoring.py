"""What an evaluation adds to the overlap scores, as `configs/scoring/` says."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Scoring:
    """How the scores of an evaluation are made.

    Args:
        surface_tolerance: Distance at which two borders still agree, in mm, or in pixels where the data set has none.
        size_bounds: Rising bounds between sizes of lesions, as shares of the image; None: thirds of the split.
        calibration_bins: Bins of the calibration error.
        resamples: Resamples of the bootstrap interval of the mean Dice; 0 for none.
        seed: Seed of the resampling.

    Raises:
        ValueError: a value is out of range.
    """

    surface_tolerance: float
    size_bounds: Sequence[float] | None
    calibration_bins: int
    resamples: int
    seed: int

    def __post_init__(self) -> None:
        if not _number(self.surface_tolerance) or not 0 <= self.surface_tolerance < float("inf"):
            raise ValueError(f"scoring.surface_tolerance={self.surface_tolerance}: give a distance, 0 or more")
        for key, least in {"calibration_bins": 1, "resamples": 0, "seed": 0}.items():
            value = getattr(self, key)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ValueError(f"scoring.{key}={value}: give a whole number, {least} or more")
        if self.size_bounds is not None and not _bounds(self.size_bounds):
            raise ValueError(
                f"scoring.size_bounds={self.size_bounds}: give shares of the image that rise, as in [0.02,0.1], or null"
            )


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _bounds(values: object) -> bool:
    if not isinstance(values, list | tuple) or not all(_number(value) and 0 < value < 1 for value in values):
        return False
    return all(lower < upper for lower, upper in pairwise(values))
