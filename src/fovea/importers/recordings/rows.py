"""Group the rows of a table: trials by image, fixations by number or repetition; merge the fixations of two eyes."""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from fovea.importers.recordings.table import runs
from fovea.importers.recordings.trial import Trial, Unit, mean

TIME_UNITS = {"ms": 1.0, "s": 1000.0, "us": 1e-3, "ns": 1e-6}  # milliseconds per unit
TimeUnit = Literal["s", "ms", "us", "ns"]
INTERVAL = (0.4, 100.0)  # milliseconds between samples: 2500 Hz to 10 Hz
_FIXATION = (30.0, 3000.0)  # ms, of the median
_COVERED = (0.01, 1.5)  # sum of durations over the time from the first start to the last end
_BACK = 1000.0  # ms that the clock of a recording may go back, e.g. between two eyes
_NEGATIVE = 0.25  # share of the pixels of a screen


@dataclass(frozen=True)
class GazeRows:
    """The rows of a table in milliseconds, each a sample, a fixation, or a sample of a fixation."""

    path: Path
    images: Sequence[str]  # names; empty between trials
    sessions: Sequence[tuple[str, ...]]  # the observer, and values of the other columns that start a new trial
    start: np.ndarray
    time: np.ndarray  # of the row itself, which may be a later sample of the fixation that began at `start`
    duration: np.ndarray | None  # None for samples
    x: np.ndarray
    y: np.ndarray
    pupil: np.ndarray
    unit: Unit
    numbers: Sequence[str] | None  # of the fixations, if the table has them
    rectangles: np.ndarray | None  # [N, 4] place of the image on the screen, if the table has it
    clock: str  # `device`: start counts from anywhere, but forward; `trial`: from the onset of the image
    spans: np.ndarray | None = None  # [N, 2] when the image appeared and disappeared, if a log tells

    def samples(self) -> tuple[list[Trial], int]:
        """Return one trial of samples per stretch of rows of an image, and the number of rows without an image."""
        self._check_clock(np.arange(len(self.start)))
        for rows in runs(self.images, self.sessions) if self.clock == "trial" else ():
            if self.images[rows.start] and (np.diff(self.start[rows]) < -INTERVAL[1]).any():
                trial = f"the time goes back within the trial of {self.images[rows.start]}"
                fix = "sort its rows by time, or set format.trial_columns to the column that tells its trials apart"
                raise ValueError(f"{self.path}: {trial}; {fix}")
        check_interval(self.path, self.start, "check format.time_unit")
        trials = []
        for rows in runs(self.images, self.sessions):
            if self.images[rows.start]:
                onset = _first(self.start[rows]) if self.spans is None else self.spans[rows.start, 0]
                values = self.start[rows] - onset, self.x[rows], self.y[rows], self.pupil[rows]
                trials.append(self._trial(rows, values, None))
        return trials, sum(not image for image in self.images)

    def fixations(self, eyes: Sequence[np.ndarray]) -> tuple[list[Trial], int]:
        """Return trials of fixations, and the number of fixations that belong to no image.

        With the clock of a device, start counts from the time at which the image appeared, or else from the first row
        of a trial, and a fixation ends when the image changes. `eyes` has the rows of each eye; the fixations of two
        are merged, see `merge_eyes`. Durations that are not those of fixations are refused.
        """
        blocks = runs(self.images, self.sessions)
        block_of = np.repeat(np.arange(len(blocks)), [rows.stop - rows.start for rows in blocks])
        tables: list[list[np.ndarray]] = [[] for _ in blocks]
        for places in eyes:
            self._check_clock(places)
            found = defaultdict(list)
            for group in self._groups(places, block_of):
                found[block_of[group[0]]].append(self._fixation(group))
            for block, fixations in found.items():
                tables[block].append(np.array(fixations))
        self._check_durations(blocks, tables)
        times = [(self.time[rows], *(table[:, 0] for table in each)) for rows, each in zip(blocks, tables, strict=True)]
        onsets = [_first(np.concatenate(each)) if self.clock == "device" else 0.0 for each in times]
        ends = [
            onset if self.clock == "device" and self.sessions[rows.start] == self.sessions[rows.start - 1] else np.inf
            for rows, onset in zip(blocks[1:], onsets[1:], strict=True)
        ]
        ends.append(np.inf)
        if self.spans is not None:
            onsets, ends = ([*self.spans[[rows.start for rows in blocks], k]] for k in (0, 1))
        trials, stray = [], 0
        for number, (rows, table) in enumerate(zip(blocks, tables, strict=True)):
            values = merge_eyes(*table) if len(table) > 1 else np.vstack([*table, np.empty((0, 6))])
            if not self.images[rows.start]:
                stray += len(values)
            elif len(values):
                start, _, duration, x, y, pupil = values.T.copy()
                cut = (start < ends[number]) & (start + duration > ends[number])
                duration[cut] = ends[number] - start[cut]
                trials.append(self._trial(rows, (start - onsets[number], x, y, pupil), duration))
        return trials, stray

    def _groups(self, places: np.ndarray, block_of: np.ndarray) -> list[list[int]]:
        """Return the rows of each fixation.

        A row repeats the one above if it has its number, or has its position and duration and starts before its end. On
        the next image it must start before that end in any case: numbers may restart in each trial.
        """
        assert self.duration is not None
        groups: list[list[int]] = []
        above: Hashable = None
        for place in map(int, places):
            values = str((self.x[place], self.y[place], self.duration[place]))
            key = (self.sessions[place], self.numbers[place] if self.numbers else values)
            if key == above:
                group = groups[-1]
                same = block_of[place] == block_of[group[-1]]
                lasts = self.start[place] < self.start[group[0]] + self.duration[group[-1]]
                if (same and (self.numbers or np.isnan(self.start[place]))) or (
                    lasts and (same or self.clock == "device")
                ):
                    group.append(place)
                    continue
            groups.append([place])
            above = key
        return groups

    def _fixation(self, group: list[int]) -> tuple[float, ...]:
        """Return start, end, duration, x, y and pupil of a fixation, in the order of `merge_eyes`."""
        assert self.duration is not None
        start, longest = self.start[group[0]], float(np.fmax.reduce(self.duration[group]))
        # The duration may grow from sample to sample, with a running mean of the position.
        final = [place for place in group if self.duration[place] >= longest] or group
        return (start, start + longest, longest, *(float(mean(each[final])) for each in (self.x, self.y, self.pupil)))

    def _trial(
        self, rows: slice, values: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray], duration: np.ndarray | None
    ) -> Trial:
        first, rectangle = rows.start, None
        places = np.empty((0, 4)) if self.rectangles is None else self.rectangles[rows]
        for left, top, width, height in places[np.isfinite(places).all(axis=1)][:1].tolist():
            rectangle = (left, top, width, height) if width > 0 and height > 0 else None
        return Trial(self.images[first], *values, duration, rectangle, observer=self.sessions[first][0])

    def _check_clock(self, places: np.ndarray) -> None:
        """Refuse a clock that goes back within what would be one recording."""
        if self.clock == "device":
            start, sessions = self.start[places], [self.sessions[place] for place in places]
            if any((np.diff(start[rows]) < -_BACK).any() for rows in runs(sessions)):
                fix = "set format.columns.observer or format.trial_columns to the column that tells them apart"
                fix += ", or split it; if it is one, sort its rows by time"
                raise ValueError(f"{self.path}: the time goes back, so the table has several recordings; {fix}")

    def _check_durations(self, blocks: Sequence[slice], tables: Sequence[Sequence[np.ndarray]]) -> None:
        durations = np.concatenate([np.empty(0), *(table[:, 2] for each in tables for table in each)])
        median = float(np.median(durations[np.isfinite(durations)])) if np.isfinite(durations).any() else _FIXATION[0]
        if not _FIXATION[0] <= median <= _FIXATION[1]:
            fix = "check format.duration_unit and time_unit"
            raise ValueError(f"{self.path}: the median fixation lasts {median:g} ms; {fix}")
        shares = []
        for rows, table in ((rows, table) for rows, each in zip(blocks, tables, strict=True) for table in each):
            covered = table[:, 1].max() - table[:, 0].min()
            shares += [table[:, 2].sum() / covered] if len(table) > 2 and covered > 0 else []
            if len(table) > 1 and table[:, 2].sum() > _COVERED[1] * covered:
                raise ValueError(
                    f"{self.path}: the fixations on {self.images[rows.start] or 'no image'} last longer than their "
                    "trial, so rows repeat them or mix eyes, trials or observers; set format.columns.fixation, "
                    "format.columns.observer or format.trial_columns, and check format.time_unit"
                )
        if shares and np.median(shares) < _COVERED[0]:
            share = f"fixations last only {np.median(shares):.2g} of the time of their trial"
            raise ValueError(f"{self.path}: {share}; check format.time_unit and duration_unit")


def check_coordinates(path: Path, x: np.ndarray, y: np.ndarray, unit: Unit) -> None:
    """Refuse fractions of which most are above 1, pixels of which none is, and an origin in the center of a screen."""
    tracked = np.isfinite(x) & np.isfinite(y)
    if not tracked.any():
        return
    above = (x[tracked] > 1) | (y[tracked] > 1)
    pixels = unit in ("px", "image_px")
    if not pixels and above.mean() > 0.5:
        percent = ", or percent, which must be divided by 100" if max(x[tracked].max(), y[tracked].max()) <= 100 else ""
        fix = "set format.unit=px if they are of the screen, image_px if they are of the image"
        raise ValueError(f"{path}: most coordinates are above 1, so they are pixels ({fix}){percent}")
    if pixels and not above.any() and np.ptp(x[tracked]) > 0:
        raise ValueError(f"{path}: no coordinate is above 1, so they are fractions; set format.unit=fraction or screen")
    if unit in ("px", "screen") and (np.array([x, y])[:, tracked] < 0).mean(axis=1).max() > _NEGATIVE:
        fix = "convert them, and a value for a lost position goes into format.lost"
        raise ValueError(f"{path}: many coordinates are negative, so they do not count from the top left; {fix}")


def guess_unit(path: Path, times: np.ndarray, interval: tuple[float, float]) -> str:
    """Return the unit in which a typical step between rows is inside `interval` (milliseconds); refuse others."""
    steps = np.diff(times)
    if not (steps > 0).any():
        return "ms"
    step = float(np.quantile(steps[steps > 0], 0.25, method="lower"))
    unit = next((unit for unit, scale in TIME_UNITS.items() if interval[0] <= step * scale <= interval[1]), None)
    if unit is None:
        raise ValueError(f"{path}: the header has no unit of time, and rows are {step:g} apart; set format.time_unit")
    return unit


def check_interval(path: Path, time: np.ndarray, fix: str) -> None:
    """Refuse a time between samples that no eye tracker has; the message ends with `fix`."""
    steps = np.diff(time)
    steps = steps[steps > 0]
    if len(steps) and not INTERVAL[0] <= (interval := float(np.median(steps))) <= INTERVAL[1]:
        raise ValueError(f"{path}: samples are {interval:g} ms apart; {fix}")


def _first(times: np.ndarray) -> float:
    """Return the smallest finite time, 0 without one."""
    return float(np.min(times[np.isfinite(times)], initial=np.inf)) if np.isfinite(times).any() else 0.0


def merge_eyes(*eyes: np.ndarray) -> np.ndarray:
    """Merge the fixations of one or two eyes, [N, 6]: start, end, duration, x, y, pupil; no time is counted twice.

    Fixations of the eyes that overlap for more than half of the shorter are one: the mean of the eyes. If one eye
    has several of them, they count from the first start to the last end. Fixations of only one eye are kept. The
    result is in the order of time.
    """
    eyes = tuple(eye[eye[:, 2] > 0] for eye in eyes)
    one, other = eyes[0], eyes[1] if len(eyes) > 1 else eyes[0][:0]
    rows, label = np.vstack([one, other]), np.arange(len(one) + len(other))
    for number, row in enumerate(one):
        overlap = np.minimum(row[1], other[:, 1]) - np.maximum(row[0], other[:, 0])
        shorter = np.minimum(row[1] - row[0], other[:, 1] - other[:, 0])
        for linked in np.flatnonzero(2 * overlap > shorter) + len(one):
            label[label == label[linked]] = label[number]
    merged = []
    for value in dict.fromkeys(label.tolist()):
        members = np.flatnonzero(label == value)
        parts = [rows[members[members < len(one)]], rows[members[members >= len(one)]]]
        merged.append(np.mean([_joined(part) for part in parts if len(part)], axis=0))
    table = np.array(merged).reshape(-1, 6)
    table = table[table[:, 0].argsort(kind="stable")]
    twice = np.maximum(table[:-1, 1] - table[1:, 0], 0)
    table[:-1, 1:3] -= twice[:, None]
    return table[table[:, 2] > 0]


def _joined(rows: np.ndarray) -> np.ndarray:
    """Return the fixations of one eye as one. The tracker's duration is one sample longer than end - start."""
    start, end = rows[:, 0].min(), rows[:, 1].max()
    last = rows[rows[:, 1].argmax()]
    duration = end - start + last[2] - (last[1] - last[0])
    return np.array([start, end, duration, *np.average(rows[:, 3:], axis=0, weights=rows[:, 2])])
