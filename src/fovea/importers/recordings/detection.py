"""Find fixations in gaze samples with the algorithms of pymovements."""

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np

from fovea.importers.recordings.geometry import Screen
from fovea.importers.recordings.trial import Trial, mean
from fovea.runtime.bounds import Positive

_GAP = 3  # a pause of more sampling intervals than this splits a recording
_MIN_SAMPLES = 6  # the smoothed velocity needs as many


@dataclass(frozen=True)
class Detection:
    """I-DT or I-VT (Salvucci and Goldberg, ETRA 2000) as `pymovements.events` implements them."""

    method: Literal["idt", "ivt"]  # a fixation is a run of samples within a dispersion, or below a velocity
    unit: Literal["deg", "px"]  # of both: degrees of visual angle (needs the geometry of the screen), or its pixels
    dispersion: Positive  # of I-DT: largest width plus height of a run
    velocity: Positive  # of I-VT: largest velocity in units per second
    min_duration: Positive  # of a fixation, in milliseconds

    def fixations(self, trial: Trial, screen: Screen) -> Trial:
        """Return the fixations of a trial of samples in pixels of the screen. Lost samples (NaN) end a fixation.

        The position of a fixation is the mean of its samples; its duration is the time from its first to its last.
        """
        time = spread(trial.start)
        ends = [pair for piece in _pieces(time) for pair in self._detect(trial, time, piece, screen)]
        parts = [slice(first, last) for first, last in ends]
        return replace(
            trial,
            start=np.array([time[first] for first, _ in ends]),
            duration=np.array([time[last] - time[first] for first, last in ends]),
            x=np.array([mean(trial.x[part]) for part in parts]),
            y=np.array([mean(trial.y[part]) for part in parts]),
            pupil=np.array([mean(trial.pupil[part]) for part in parts]),
        )

    def _detect(self, trial: Trial, time: np.ndarray, piece: slice, screen: Screen) -> Iterator[tuple[int, int]]:
        """Yield the first sample of each fixation and the sample after it.

        pymovements' I-DT returns the first sample outside the dispersion as the offset; I-VT is read the same way.
        """
        positions = np.column_stack([trial.x[piece], trial.y[piece]])
        if len(positions) < _MIN_SAMPLES or np.isnan(positions).all():
            return
        try:
            import pymovements as library
        except ImportError as error:
            needs = "the export has samples and no fixations, and detecting fixations needs pymovements"
            raise ValueError(f"{needs}: pip install 'pymovements>=0.28', or export fixations") from error
        interval = float(np.median(np.diff(time[piece])))
        # In samples, because pymovements accepts only equal time steps of whole numbers, and trackers jitter.
        least = max(2, math.ceil(self.min_duration / interval - 1e-9))
        if self.unit == "deg":
            width, height, distance = screen.centimeters()
            positions = library.transforms.numpy.pix2deg(
                positions, screen.pixels(), (width, height), distance, origin="upper left"
            )
        with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # about windows without a sample
            if self.method == "idt":
                if len(positions) < least:
                    return
                events = library.events.idt(positions, minimum_duration=least, dispersion_threshold=self.dispersion)
            else:
                velocities = library.transforms.numpy.pos2vel(positions, sampling_rate=1000 / interval)
                events = library.events.ivt(velocities, minimum_duration=least, velocity_threshold=self.velocity)
        for first, last in zip(events.frame["onset"], events.frame["offset"], strict=True):
            yield piece.start + int(first), piece.start + int(last)


def spread(time: np.ndarray) -> np.ndarray:
    """Spread samples with equal time stamps over the step to the next stamp (2000 Hz in whole milliseconds)."""
    steps = np.diff(time)
    if not (steps == 0).any() or (steps < 0).any():
        return time
    _, first, inverse, counts = np.unique(time, return_index=True, return_inverse=True, return_counts=True)
    step = float(np.median(steps[steps > 0])) if (steps > 0).any() else 1.0
    return time + (np.arange(len(time)) - first[inverse]) * step / counts[inverse]


def _pieces(time: np.ndarray) -> list[slice]:
    """Return the parts of a recording without a pause; none for fewer than two samples."""
    if len(time) < 2:
        return []
    steps = np.diff(time)
    breaks = np.flatnonzero((steps > _GAP * np.median(steps)) | (steps <= 0)) + 1
    return [slice(first, last) for first, last in pairwise([0, *breaks.tolist(), len(time)])]
