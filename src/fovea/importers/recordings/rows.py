"""Group the rows of a table: trials by image, fixations by number or repetition."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fovea.importers.recordings.detection import nanmean
from fovea.importers.recordings.table import runs
from fovea.importers.recordings.trial import Rectangle, Trial, Unit

_INTERVAL = (0.4, 100.0)  # ms between samples
_FIXATION = (30.0, 3000.0)  # ms, of the median
_OVERLAP = 1.5  # sum of durations over the time that they cover


@dataclass(frozen=True)
class GazeRows:
    """The rows of a table in milliseconds, each a sample, a fixation, or a sample of a fixation.

    Attributes:
        images: File name of the image; empty between trials.
        sessions: Values of the columns that start a new trial when they change.
        duration: None for samples.
        numbers: Number of the fixation, if the table has one.
        rectangles: [N, 4] place of the image on the screen, if the table has it.
    """

    path: Path
    images: Sequence[str]
    sessions: Sequence[tuple[str, ...]]
    start: np.ndarray
    duration: np.ndarray | None
    x: np.ndarray
    y: np.ndarray
    pupil: np.ndarray
    unit: Unit
    numbers: Sequence[str] | None
    rectangles: np.ndarray | None

    def samples(self) -> list[Trial]:
        """Return one trial of samples per stretch of rows of an image."""
        check_interval(self.path, self.start, "check format.time_unit")
        trials = []
        for rows in runs(self.images, self.sessions):
            if image := self.images[rows.start]:
                values = self.start[rows] - _first(self.start[rows]), self.x[rows], self.y[rows], self.pupil[rows]
                trials.append(Trial(image, *values, None, self._rectangle(rows.start)))
        return trials

    def fixations(self, places: np.ndarray, from_onset: bool) -> tuple[list[Trial], int]:
        """Return trials of the fixations in the rows `places`, and the number of fixations that belong to no image.

        With `from_onset`, start counts from the first row of a trial, and a fixation ends when the image changes.

        Raises:
            ValueError: the durations are not those of fixations.
        """
        blocks = runs(self.images, self.sessions)
        block_of = np.repeat(np.arange(len(blocks)), [rows.stop - rows.start for rows in blocks])
        groups = self._groups(places, block_of)
        self._check_durations(groups)
        inside: list[list[list[int]]] = [[] for _ in blocks]
        for group in groups:
            inside[block_of[group[0]]].append(group)
        trials, stray = [], 0
        for rows, following, members in zip(blocks, [*blocks[1:], None], inside, strict=True):
            if not self.images[rows.start]:
                stray += len(members)
            elif members:
                onset = _first(self.start[rows]) if from_onset else 0.0
                trials.append(trial := self._trial(rows, members, onset))
                same = following is not None and self.sessions[following.start] == self.sessions[rows.start]
                if following is not None and same and from_onset and trial.duration is not None:
                    end = self.start[following.start] - onset
                    cut = (trial.start < end) & (trial.start + trial.duration > end)
                    trial.duration[cut] = end - trial.start[cut]
        return trials, stray

    def _groups(self, places: np.ndarray, block_of: np.ndarray) -> list[list[int]]:
        """Return the rows of each fixation.

        Without numbers a row repeats the one above if it has its position and duration and starts before its end.
        """
        assert self.duration is not None
        groups: list[list[int]] = []
        latest: dict[Hashable, list[int]] = {}
        for place in map(int, places):
            values = str((self.x[place], self.y[place], self.duration[place]))
            key = (self.sessions[place], self.numbers[place] if self.numbers else values)
            group = latest.get(key)
            if group is None:
                repeated = False
            elif self.numbers or np.isnan(self.start[place]):
                repeated = block_of[place] - block_of[group[-1]] <= bool(self.numbers)
            else:
                repeated = self.start[place] < self.start[group[0]] + self.duration[group[0]]
            if group is not None and repeated and (self.numbers or group is groups[-1]):
                group.append(place)
            else:
                groups.append([place])
                latest[key] = groups[-1]
        return groups

    def _trial(self, rows: slice, groups: list[list[int]], onset: float) -> Trial:
        assert self.duration is not None
        longest = [self.duration[group].max() for group in groups]
        # The duration may grow from sample to sample, with a running mean of the position.
        final = [
            [place for place in group if not self.duration[place] < most]
            for group, most in zip(groups, longest, strict=True)
        ]
        return Trial(
            image=self.images[rows.start],
            start=self.start[[group[0] for group in groups]] - onset,
            x=np.array([nanmean(self.x[group]) for group in final]),
            y=np.array([nanmean(self.y[group]) for group in final]),
            pupil=np.array([nanmean(self.pupil[group]) for group in groups]),
            duration=np.array(longest),
            rectangle=self._rectangle(rows.start),
        )

    def _check_durations(self, groups: list[list[int]]) -> None:
        assert self.duration is not None
        first = [group[0] for group in groups]
        durations = np.array([self.duration[group].max() for group in groups])
        median = float(np.median(durations[np.isfinite(durations)])) if np.isfinite(durations).any() else _FIXATION[0]
        if not _FIXATION[0] <= median <= _FIXATION[1]:
            raise ValueError(
                f"{self.path}: the median fixation lasts {median:g} ms; check format.duration_unit and time_unit"
            )
        starts = self.start[first]
        for rows in runs([self.images[place] for place in first], [self.sessions[place] for place in first]):
            start, duration = starts[rows], durations[rows]
            covered = (start + duration).max() - start.min()
            if (np.diff(start) >= 0).all() and duration.sum() > _OVERLAP * covered:
                raise ValueError(
                    f"{self.path}: the fixations on {self.images[first[rows.start]]} last longer than their trial, "
                    "so rows repeat them or mix observers; set format.columns.fixation or format.trial_columns"
                )

    def _rectangle(self, place: int) -> Rectangle | None:
        if self.rectangles is None or not np.isfinite(self.rectangles[place]).all():
            return None
        left, top, width, height = map(float, self.rectangles[place])
        return (left, top, width, height) if width > 0 and height > 0 else None


def check_coordinates(path: Path, x: np.ndarray, y: np.ndarray, unit: Unit) -> None:
    """Refuse fractions of which most are above 1, and pixels of which none is."""
    tracked = np.isfinite(x) & np.isfinite(y)
    above = (x[tracked] > 1) | (y[tracked] > 1)
    pixels = unit in ("px", "image_px")
    if not pixels and len(above) and above.mean() > 0.5:
        raise ValueError(f"{path}: most coordinates are above 1, so they are pixels; set format.unit=px")
    if pixels and len(above) and not above.any() and np.ptp(x[tracked]) > 0:
        raise ValueError(f"{path}: no coordinate is above 1, so they are fractions; set format.unit=fraction or screen")


def check_interval(path: Path, time: np.ndarray, fix: str) -> None:
    """Refuse a time between samples that no eye tracker has; the message ends with `fix`."""
    steps = np.diff(time)
    steps = steps[steps > 0]
    if len(steps) and not _INTERVAL[0] <= (interval := float(np.median(steps))) <= _INTERVAL[1]:
        raise ValueError(f"{path}: samples are {interval:g} ms apart; {fix}")


def _first(times: np.ndarray) -> float:
    """Return the smallest finite time, 0 without one."""
    return float(np.min(times[np.isfinite(times)], initial=np.inf)) if np.isfinite(times).any() else 0.0
