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
class Rows:
    """The rows of a table, each a sample, a fixation, or a sample of a fixation.

    Attributes:
        path: The file, for error messages.
        images: File name of the image; empty between trials.
        sessions: Values of the columns that start a new trial when they change.
        start: Milliseconds.
        duration: Milliseconds; None for samples.
        x: In `unit`.
        y: In `unit`.
        pupil: In the unit of the tracker.
        unit: Of the coordinates.
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
        """Return one trial of samples per stretch of rows of an image.

        Raises:
            ValueError: the time between samples is not that of an eye tracker.
        """
        check_interval(self.path, self.start, "check format.time_unit")
        return [
            Trial(
                image=self.images[rows.start],
                start=self.start[rows] - _first(self.start[rows]),
                x=self.x[rows],
                y=self.y[rows],
                pupil=self.pupil[rows],
                duration=None,
                rectangle=self._rectangle(rows),
            )
            for rows in runs(self.images, self.sessions)
            if self.images[rows.start]
        ]

    def fixations(self, places: np.ndarray, from_onset: bool) -> tuple[list[Trial], int]:
        """Return trials of fixations, and the number of fixations that belong to no image.

        Args:
            places: The rows that hold fixations.
            from_onset: Whether start is to be counted from the first row of a trial.

        Raises:
            ValueError: the durations are not those of fixations.
        """
        blocks = runs(self.images, self.sessions)
        block_of = np.repeat(np.arange(len(blocks)), [rows.stop - rows.start for rows in blocks])
        groups = self._groups(places, block_of)
        self._check_durations(groups)
        by_block: dict[int, list[list[int]]] = {}
        for group in groups:
            by_block.setdefault(int(block_of[group[0]]), []).append(group)
        trials, stray = [], 0
        for number, rows in enumerate(blocks):
            inside = by_block.get(number, [])
            if not self.images[rows.start]:
                stray += len(inside)
            elif inside:
                trial = self._trial(rows, inside, _first(self.start[rows]) if from_onset else 0.0)
                if from_onset and number + 1 < len(blocks):
                    trial = self._cut(trial, rows, blocks[number + 1])
                trials.append(trial)
        return trials, stray

    def _groups(self, places: np.ndarray, block_of: np.ndarray) -> list[list[int]]:
        """Return the rows of each fixation.

        Without numbers a row repeats the one above if it has its position and duration and starts before its end.
        """
        assert self.duration is not None
        groups: list[list[int]] = []
        latest: dict[Hashable, list[int]] = {}
        for place in map(int, places):
            value = (self.x[place], self.y[place], self.duration[place])
            number = self.numbers[place] if self.numbers else tuple(map(str, value))
            group = latest.get((self.sessions[place], number))
            if group is not None and self.numbers:
                repeated = block_of[place] - block_of[group[-1]] <= 1
            elif group is not None and group is groups[-1]:
                later = self.start[place] >= self.start[group[0]] + self.duration[group[0]]
                timed = np.isfinite(self.start[place])
                repeated = not later if timed else block_of[place] == block_of[group[-1]]
            else:
                repeated = False
            if group is not None and repeated:
                group.append(place)
            else:
                groups.append([place])
                latest[(self.sessions[place], number)] = groups[-1]
        return groups

    def _trial(self, rows: slice, groups: list[list[int]], onset: float) -> Trial:
        assert self.duration is not None
        return Trial(
            image=self.images[rows.start],
            start=self.start[[group[0] for group in groups]] - onset,
            x=np.array([nanmean(self.x[self._final(group)]) for group in groups]),
            y=np.array([nanmean(self.y[self._final(group)]) for group in groups]),
            pupil=np.array([nanmean(self.pupil[group]) for group in groups]),
            duration=np.array([self.duration[group].max() for group in groups]),
            rectangle=self._rectangle(rows),
        )

    def _final(self, group: list[int]) -> np.ndarray:
        """Return the rows with the final duration: it may grow from sample to sample, with a running mean position."""
        assert self.duration is not None
        return np.array(group)[self.duration[group] >= self.duration[group].max()]

    def _cut(self, trial: Trial, rows: slice, following: slice) -> Trial:
        """End the fixations of a trial where the next image appears in the same session."""
        assert trial.duration is not None
        end = self.start[following.start] - _first(self.start[rows])
        if self.sessions[following.start] == self.sessions[rows.start]:
            cut = (trial.start < end) & (trial.start + trial.duration > end)
            trial.duration[cut] = end - trial.start[cut]
        return trial

    def _check_durations(self, groups: list[list[int]]) -> None:
        assert self.duration is not None
        first = [group[0] for group in groups]
        durations = np.array([self.duration[group].max() for group in groups])
        if not np.isfinite(durations).any():
            return
        median = float(np.nanmedian(durations))
        if not _FIXATION[0] <= median <= _FIXATION[1]:
            raise ValueError(
                f"{self.path}: the median fixation lasts {median:g} ms; check format.duration_unit and time_unit"
            )
        for rows in runs([self.images[place] for place in first], [self.sessions[place] for place in first]):
            start, duration = self.start[first][rows], durations[rows]
            covered = np.max(start + duration, initial=0) - np.min(start, initial=np.inf)
            if len(start) > 1 and (np.diff(start) >= 0).all() and duration.sum() > _OVERLAP * covered:
                raise ValueError(
                    f"{self.path}: the fixations on {self.images[first[rows.start]]} last longer than their trial, "
                    "so rows repeat them; set format.columns.fixation to the column that numbers fixations"
                )

    def _rectangle(self, rows: slice) -> Rectangle | None:
        if self.rectangles is None or not np.isfinite(self.rectangles[rows.start]).all():
            return None
        left, top, width, height = map(float, self.rectangles[rows.start])
        return (left, top, width, height) if width > 0 and height > 0 else None


def check_coordinates(path: Path, x: np.ndarray, y: np.ndarray, unit: Unit) -> None:
    """Check that coordinates can be in this unit.

    Raises:
        ValueError: most fractions are above 1, or no pixel is.
    """
    tracked = np.isfinite(x) & np.isfinite(y)
    above = (x[tracked] > 1) | (y[tracked] > 1)
    pixels = unit in ("px", "image_px")
    if not pixels and len(above) and above.mean() > 0.5:
        raise ValueError(f"{path}: most coordinates are above 1, so they are pixels; set format.unit=px")
    if pixels and len(above) and not above.any() and np.ptp(x[tracked]) > 0:
        raise ValueError(f"{path}: no coordinate is above 1, so they are fractions; set format.unit=fraction or screen")


def check_interval(path: Path, time: np.ndarray, fix: str) -> None:
    """Check that the time between samples can be that of an eye tracker.

    Raises:
        ValueError: it cannot; the message ends with `fix`.
    """
    steps = np.diff(time)
    steps = steps[steps > 0]
    if len(steps) and not _INTERVAL[0] <= (interval := float(np.median(steps))) <= _INTERVAL[1]:
        raise ValueError(f"{path}: samples are {interval:g} ms apart; {fix}")


def _first(times: np.ndarray) -> float:
    """Return the smallest finite time, 0 without one."""
    finite = times[np.isfinite(times)]
    return float(finite.min()) if len(finite) else 0.0
