"""Read tables of fixations or samples. Columns, units and row filters are configuration: one YAML per format."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator

from fovea.importers.recordings.convert import import_recordings
from fovea.importers.recordings.rows import INTERVAL, TIME_UNITS, GazeRows, TimeUnit, check_coordinates, guess_unit
from fovea.importers.recordings.shown import SHOWN, SPAN, add_shown
from fovea.importers.recordings.table import LOST, Alternatives, Table, listed, read_table, unit_of
from fovea.importers.recordings.trial import (
    Recording,
    Unit,
    compile_pattern,
    first_group,
    mean,
    name_from_file,
    recorded_name,
)
from fovea.importers.request import ImportRequest, ImportResult
from fovea.runtime.bounds import Fraction

_PLAIN = ("px", "pixel", "pixels")  # of the screen or the image
_PIXELS = ("", *_PLAIN, "DACSpx", "ADCSpx")  # of the screen
_LENGTHS = ("mm", "cm", "deg", "degrees", "°")  # no unit of a place on an image
_MEDIA: Mapping[str, Unit] = {"MCSnorm": "fraction", "MCSpx": "image_px"}
_RECTANGLE = ("image_left", "image_top", "image_width", "image_height")
_SCREEN = ("screen", "screen_width", "screen_height")
_EYES = ("x_left", "y_left", "x_right", "y_right")
_VALUES = ("image", "observer", "x", "y", "start", "end", "duration", "fixation", "pupil", "confidence", "validation")
_OR_NULL = BeforeValidator(lambda value: {} if value is None else value)  # so that a command can set a whole mapping
_COLUMNS = (*_VALUES, "time", *_EYES, *_SCREEN, *_RECTANGLE)


@dataclass(frozen=True)
class ColumnReader:
    """Reads tables in which a row is a sample, a fixation, or a sample of a fixation.

    A trial is a stretch of rows of one image and observer. A fixation belongs to the image on which it starts, and ends
    when the image changes. Rows that repeat a fixation (by its number, or by position, duration and time) are one
    fixation. Of two eyes, the mean is taken, and no time is counted twice. The comments in
    `configs/format/generic.yaml` describe the arguments.
    """

    columns: Mapping[str, Alternatives]
    samples: Annotated[Mapping[str, Alternatives], _OR_NULL]
    where: Annotated[Mapping[str, Alternatives], _OR_NULL]
    event: Annotated[Mapping[str, Alternatives], _OR_NULL]
    optional: Sequence[str]
    trial_columns: Sequence[str]
    eye: Literal["left", "right", "both"]
    eyes: Annotated[Mapping[str, Mapping[str, str]], _OR_NULL]
    unit: Unit
    flip_y: bool
    lost: float | None
    clock: Literal["trial", "device"]
    time_unit: TimeUnit | Literal["auto"]
    duration_unit: TimeUnit
    min_confidence: Fraction
    name: Literal["column", "file"]
    message: str | None
    file: str
    delimiter: str | None
    patterns: Sequence[str]
    shown: str | None
    shown_offset: float

    def __post_init__(self) -> None:
        """Refuse unknown and missing columns, and invalid regular expressions."""
        for argument in ("samples", "where", "event", "eyes"):
            object.__setattr__(self, argument, dict(getattr(self, argument) or {}))
        if self.shown:
            vars(self).update(columns={**self.columns, **SHOWN}, name="column", message=None, clock="device")
        elif self.shown_offset:
            raise ValueError("shown_offset needs shown: set it to the log of fovea-collect mode=screen")
        if unknown := sorted({*self.columns, *self.samples}.difference(_COLUMNS)):
            raise ValueError(f"columns.{unknown[0]} is not a column; choose from {', '.join(_COLUMNS)}")
        needed = [*(["image"] if self.name == "column" else []), *([] if self._has_fixations else ["start"])]
        positions = [axis for axis in "xy" if not any(self.columns.get(axis + eye) for eye in ("", "_left", "_right"))]
        if missing := [*positions, *(key for key in needed if not self.columns.get(key))]:
            raise ValueError(f"columns.{missing[0]} is not set: add the name of the column")
        compile_pattern("file", self.file)
        compile_pattern("message", self.message or "()")
        for argument in ("where", "event", "eyes"):
            for column, patterns in getattr(self, argument).items():
                for pattern in patterns.values() if argument == "eyes" else listed(patterns):
                    compile_pattern(f"{argument}.{column}", pattern, False)
        if self.min_confidence and not (self.columns.get("confidence") or self.samples.get("confidence")):
            raise ValueError("min_confidence needs columns.confidence: add the name of the column")

    @property
    def _has_fixations(self) -> bool:
        return bool(self.columns.get("duration") or self.columns.get("end"))

    def __call__(self, request: ImportRequest) -> ImportResult:
        return import_recordings(request, self.read, self.patterns, self.name == "file")

    def read(self, path: Path) -> Recording:
        """Read one file; refuse one that lacks a column, or whose values cannot be in these units."""
        samples = {**self.columns, **self.samples}
        needed = [name for key in ("x", *_EYES) for name in (*listed(self.columns.get(key)), *listed(samples.get(key)))]
        table = read_table(path, self.delimiter, needed)
        if not len(table):  # nobody looked
            return Recording([], self.unit, note="have no row")
        if self.shown:
            start = [*listed(self.columns.get("start")), *listed(samples.get("start"))]
            time = self._times(table, {"start": start}, "start", INTERVAL, needed=True)
            table = add_shown(table, Path(self.shown).expanduser(), time, self.shown_offset)
        names = self._names(table)
        for argument in ("where", "event"):  # without such a column, the table would be read as a whole
            for column in set(getattr(self, argument)).difference(self.optional):
                table.need(column, f"correct the name in format.{argument}, or add it to format.optional")
        for column, patterns in self.where.items():
            mask = table.matching(column, patterns)
            if mask is not None and not mask.any():
                raise table.unmatched(column, f"where.{column}={patterns}")
            table = table if mask is None else table.take(np.flatnonzero(mask).tolist())
        table.check_lengths()
        ranks = {session: rank for rank, session in enumerate(dict.fromkeys(self._sessions(table)))}
        order = [ranks[session] for session in self._sessions(table)]
        table = table.take(np.argsort(order, kind="stable").tolist())  # each recording apart, if their rows alternate
        masks = [m for column, patterns in self.event.items() if (m := table.matching(column, patterns)) is not None]
        is_event = np.all(masks, axis=0) if masks else np.ones(len(table), bool)
        if number := table.find(self.columns.get("fixation")):  # rows between fixations have none
            is_event &= np.array([cell not in LOST for cell in table.texts(number)], bool)
        timed = any(table.find(self.columns.get(key)) for key in ("duration", "end"))
        if (timed and is_event.any()) or (self._has_fixations and not self.samples):
            rows = self._rows(table, self.columns, names, is_event)
            trials, stray = rows.fixations([np.flatnonzero(is_event & eye) for eye in self._eyes(table)])
            total = stray + sum(len(trial.x) for trial in trials)
        else:
            rows = self._rows(table, samples, names, None)
            trials, stray = rows.samples()
            total = len(table)
        if not trials and not is_event.any():
            raise ValueError(f"{path}: no row is a fixation; correct format.event={self.event} or columns.fixation")
        if not trials:
            raise ValueError(f"{path}: no row names an image; set format.columns.image, or format.name=file")
        errors = table.numbers(table.find(self.columns.get("validation"), ("degrees", ""))).round(3).tolist()
        measured = dict.fromkeys((who, error) for (who, *_), error in zip(rows.sessions, errors, strict=True))
        validation: list[dict[str, object]] = [
            {"average": error, **({"observer": who} if who else {})} for who, error in measured if error == error
        ]
        return Recording(trials, rows.unit, self._screen(table), stray, total, validation, self._lacks(table))

    def _lacks(self, table: Table) -> str:
        """Return a note about columns that are not in the table, without which it is read in another way."""
        named = {"columns.observer": self.columns.get("observer")}
        named |= {"columns.confidence": self.columns.get("confidence")} if self.min_confidence else {}
        ones = {"trial_columns": self.trial_columns, "eyes": [*self.eyes]}
        named |= {key: columns[0] for key, columns in ones.items() if len(columns) == 1}
        return table.lacks(named)

    def _names(self, table: Table) -> Mapping[int, str]:
        """Return the image's name by line of the file."""
        if self.name == "file":
            return dict.fromkeys(table.lines, name_from_file(table.path, re.compile(self.file)))
        if self.message is None or table.find(self.columns["image"]):
            cells = table.texts(table.need(self.columns["image"], "set format.columns.image"))
            named = ["" if cell in LOST else recorded_name(cell) for cell in cells]
            return dict(zip(table.lines, named, strict=True))
        names, name = {}, ""
        for line, row in zip(table.lines, table.rows, strict=True):
            name = first_group(re.search(self.message, table.delimiter.join(row))) or name
            names[line] = name
        return names

    def _sessions(self, table: Table) -> list[tuple[str, ...]]:
        """Return the observer and the other values that tell recordings and trials apart, by row."""
        observer = table.find(self.columns.get("observer"))
        others = [table.texts(name) for column in self.trial_columns if (name := table.find(column))]
        return list(zip(table.texts(observer) if observer else [""] * len(table), *others, strict=True))

    def _eyes(self, table: Table) -> list[np.ndarray]:
        """Return the rows of each eye, bool [N]; all rows if they are not of one eye."""
        for column in filter(table.find, self.eyes):
            cells = table.texts(str(table.find(column)))
            masks = ((eye, table.matching(column, [pattern])) for eye, pattern in self.eyes[column].items())
            if found := {eye: mask for eye, mask in masks if mask is not None and mask.any()}:
                both = np.array([cell not in LOST for cell in cells], bool) & ~np.any(list(found.values()), axis=0)
                if self.eye == "both":
                    return [both] if both.any() else list(found.values())  # the tracker's own mean comes first
                if self.eye not in found:
                    raise ValueError(f"{table.path}: no data of the {self.eye} eye; set format.eye={next(iter(found))}")
                return [found[self.eye]]
            if len(self.eyes) == 1 and len({*cells}.difference(LOST)) > 1:
                raise table.unmatched(column, f"eyes.{column}={dict(self.eyes[column])}")
        return [np.ones(len(table), bool)]

    def _rows(
        self, table: Table, columns: Mapping[str, Any], names: Mapping[int, str], is_event: np.ndarray | None
    ) -> GazeRows:
        """Return the values of the rows in milliseconds and in one unit; rows are samples without `is_event`."""
        x, y, unit = self._positions(table, columns)
        if self.min_confidence and (name := table.find(columns.get("confidence"))):
            x[unsure := table.numbers(name) < self.min_confidence] = np.nan
            y[unsure] = np.nan
        check_coordinates(table.path, x, y, unit)
        repeated = is_event is None or bool((np.diff(np.stack([x, y])[:, is_event]) == 0).all(axis=0).any())
        interval = INTERVAL if repeated else (20.0, 5000.0)  # ms between fixations
        start = self._times(table, columns, "start", interval, needed=is_event is None)
        duration = None
        if is_event is not None and (name := table.find(columns.get("duration"))):
            duration = table.numbers(name) * TIME_UNITS.get(unit_of(name), TIME_UNITS[self.duration_unit])
        elif is_event is not None:
            key = "end" if columns.get("end") else "duration"
            duration = self._times(table, columns, key, interval, needed=True) - start
        timed = table.find(columns.get("time"))
        number, pupil = table.find(columns.get("fixation")), table.find(columns.get("pupil"))
        place = [table.find(columns.get(key), _PIXELS) for key in _RECTANGLE]
        return GazeRows(
            path=table.path,
            images=[names[line] for line in table.lines],
            sessions=self._sessions(table),
            start=start,
            time=self._times(table, columns, "time", interval, needed=True) if timed else start,
            duration=duration,
            x=x,
            y=y,
            pupil=table.numbers(pupil),
            unit=unit,
            numbers=table.texts(number) if number else None,
            rectangles=np.stack([table.numbers(name) for name in place], axis=1) if all(place) else None,
            clock=self.clock,
            spans=np.stack([table.numbers(name) for name in SPAN], axis=1) if self.shown else None,
        )

    def _positions(self, table: Table, columns: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray, Unit]:
        """Return x and y, the mean over the eyes if each has columns, and their unit."""
        pairs = {side: pair for side in ("", "_left", "_right") if (pair := _pair(table, columns, side))}
        wanted = ["_left", "_right"] if self.eye == "both" else [f"_{self.eye}"]
        if "" in pairs and (self.eye == "both" or any(map(table.find, self.eyes))):  # the tracker's own mean, or rows
            wanted = [""]
        if not (used := [pairs[side] for side in wanted if side in pairs]):
            if pairs:
                raise ValueError(f"{table.path}: no columns of the {self.eye} eye alone; set format.eye=both")
            sought = {axis: columns.get(axis) or columns.get(f"{axis}_left") for axis in "xy"}
            x, y = (table.need(names, f"set format.columns.{axis}") for axis, names in sought.items())
            what = f"{table.path}: {x} and {y} are not both in pixels or both in fractions"
            raise ValueError(f"{what}; convert them, or set format.columns.x and format.columns.y")
        eyes = np.array([[table.numbers(name) for name in pair] for pair in used])
        if self.lost is not None:
            eyes[np.repeat((eyes == self.lost).all(axis=1, keepdims=True), 2, axis=1)] = np.nan
        x, y = mean(eyes)
        unit, mark = self.unit, unit_of(used[0][0])
        if mark in _PLAIN:
            unit = "image_px" if unit == "image_px" else "px"
        elif mark == "normalized":
            unit = "screen" if unit == "screen" else "fraction"
        elif mark:
            unit = "px" if mark in _PIXELS else _MEDIA.get(mark, unit)
        if self.flip_y and unit in ("px", "image_px"):
            raise ValueError(f"{table.path}: format.flip_y needs fractions, but the coordinates are pixels")
        return x, 1 - y if self.flip_y else y, unit

    def _times(
        self, table: Table, columns: Mapping[str, Any], key: str, interval: tuple[float, float], needed: bool
    ) -> np.ndarray:
        """Return the times of a column in milliseconds; NaN without one."""
        names = columns.get(key)
        name = table.need(names, f"set format.columns.{key}") if needed or names else None
        if name is None:
            return np.full(len(table), np.nan)
        values, unit = table.numbers(name), unit_of(name)
        if unit not in TIME_UNITS:
            unit = guess_unit(table.path, values, interval) if self.time_unit == "auto" else self.time_unit
        return values * TIME_UNITS[unit]

    def _screen(self, table: Table) -> tuple[float, float] | None:
        """Return width and height of the screen in pixels, if the file tells one size."""
        whole, *sides = (table.find(self.columns.get(key)) for key in _SCREEN)
        cells = zip(*(table.texts(name) for name in ([whole] if whole else filter(None, sides))), strict=True)
        size = re.compile(r"\s*(\d+)\s*[x,*]\s*(\d+)\s*(?:px|pixels)?\s*")
        found = {each.groups() for row in set(cells) if (each := size.fullmatch(" x ".join(row)))}
        return next(((float(width), float(height)) for width, height in found), None) if len(found) == 1 else None


def _pair(table: Table, columns: Mapping[str, Any], side: str) -> list[str] | None:
    """Return the columns of x and y in the same unit."""
    for unit in (*_PIXELS, "normalized", *_MEDIA):
        pair = [name for axis in "xy" if (name := table.find(columns.get(axis + side), (unit,)))]
        if len(pair) == 2 and not unit_of(pair[0]).casefold().endswith(_LENGTHS):
            return pair
    return None
