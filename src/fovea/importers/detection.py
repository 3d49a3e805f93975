"""From gaze samples to fixations, by the algorithms of pymovements."""

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from fovea.importers.geometry import Screen
from fovea.importers.trials import Trial

METHODS = ("idt", "ivt")
UNITS = ("deg", "px")

_GAP = 3  # a recording that pauses for more sampling intervals than these goes on as another piece
_SHORTEST = 6  # samples that the smoothed velocity needs


@dataclass(frozen=True)
class Detection:
    """I-DT or I-VT (Salvucci and Goldberg, ETRA 2000) as `pymovements.events` has them.

    Attributes:
        method: `idt`: a fixation is a run of samples within a dispersion; `ivt`: below a velocity.
        unit: of both thresholds: `deg` (of visual angle, with the geometry of the screen) or `px` (of the screen).
        dispersion: of I-DT, the width and height of the run together.
        velocity: of I-VT, in units a second.
        min_duration: of a fixation in milliseconds.

    Raises:
        ValueError: a value is not one of those offered, or not a number above 0.
    """

    method: str = "idt"
    unit: str = "deg"
    dispersion: float = 1.0
    velocity: float = 30.0
    min_duration: float = 100.0

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        for key, value, offered in (("method", self.method, METHODS), ("unit", self.unit, UNITS)):
            if value not in offered:
                raise ValueError(f"detection.{key}: {value!r} is not offered; choose {' or '.join(offered)}")
        for key in ("dispersion", "velocity", "min_duration"):
            value = getattr(self, key)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
                raise ValueError(f"detection.{key}: {value!r} is not possible; set a number above 0")

    def fixations(self, trial: Trial, screen: Screen) -> Trial:
        """The fixations in a trial of samples. A position is the mean of the samples, a duration from first to last.

        Args:
            trial: samples in pixels of the screen; lost ones are NaN and end a fixation.
            screen: its geometry, for thresholds in degrees.

        Raises:
            ValueError: pymovements is not installed, or the geometry is not given.
        """
        found = [part for piece in _pieces(trial.start) for part in self._detect(trial, piece, screen)]
        parts = [slice(first, last) for first, last in found]
        return replace(
            trial,
            start=np.array([trial.start[first] for first, _ in found]),
            duration=np.array([trial.start[last] - trial.start[first] for first, last in found]),
            x=np.array([np.nanmean(trial.x[part]) for part in parts]),
            y=np.array([np.nanmean(trial.y[part]) for part in parts]),
            pupil=np.array([_mean(trial.pupil[part]) for part in parts]),
        )

    def _detect(self, trial: Trial, piece: slice, screen: Screen) -> Iterator[tuple[int, int]]:
        """First and last sample of each fixation. The last is no part of it: pymovements' I-DT names the first sample
        outside the dispersion, and its durations are differences of the two, of both algorithms.
        """
        positions = np.column_stack([trial.x[piece], trial.y[piece]])
        if len(positions) < _SHORTEST or np.isnan(positions).all():
            return
        interval = float(np.median(np.diff(trial.start[piece])))
        # Counted in samples, since pymovements takes whole and equal time steps alone, and trackers jitter.
        least = max(2, math.ceil(self.min_duration / interval - 1e-9))
        library = _pymovements()
        if self.unit == "deg":
            width, height, distance = screen.centimetres()
            positions = library.transforms.numpy.pix2deg(
                positions, screen.pixels(), (width, height), distance, origin="upper left"
            )
        with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # of windows without a sample
            if self.method == "idt":
                if len(positions) < least:
                    return
                events = library.events.idt(positions, minimum_duration=least, dispersion_threshold=self.dispersion)
            else:
                velocities = library.transforms.numpy.pos2vel(positions, sampling_rate=1000 / interval)
                events = library.events.ivt(velocities, minimum_duration=least, velocity_threshold=self.velocity)
        for first, last in zip(events.frame["onset"], events.frame["offset"], strict=True):
            yield piece.start + int(first), piece.start + int(last)


def _pymovements() -> Any:
    try:
        import pymovements
    except ImportError as error:
        raise ValueError(
            "this export holds samples and no fixations, and finding them needs pymovements: "
            "pip install 'pymovements>=0.28', or export fixations"
        ) from error
    return pymovements


def _pieces(time: np.ndarray) -> list[slice]:
    """Parts of a recording without a pause; none where there are fewer than two samples."""
    if len(time) < 2:
        return []
    steps = np.diff(time)
    breaks = np.flatnonzero((steps > _GAP * np.median(steps)) | (steps <= 0)) + 1
    edges = [0, *breaks.tolist(), len(time)]
    return [slice(first, last) for first, last in pairwise(edges)]


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan
