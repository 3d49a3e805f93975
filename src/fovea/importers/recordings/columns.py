"""Read tables of fixations or samples. Columns, units and row filters are configuration: one YAML per format."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fovea.importers.recordings.convert import import_recordings
from fovea.importers.recordings.rows import GazeRows, check_coordinates
from fovea.importers.recordings.table import Names, Table, listed, read_table, unit_of
from fovea.importers.recordings.trial import (
    Recording,
    Unit,
    compile_pattern,
    first_group,
    name_from_file,
    recorded_name,
)
from fovea.importers.request import ImportRequest, ImportResult
from fovea.runtime.bounds import Fraction
from fovea.runtime.errors import first_few

_TIME_UNITS = {"ms": 1.0, "s": 1000.0, "us": 1e-3, "ns": 1e-6}  # milliseconds per unit
_COORDINATE_UNITS: Mapping[str, Unit] = {
    "px": "px",
    "DACS px": "px",
    "ADCSpx": "px",
    "normalized": "fraction",
    "MCS norm": "fraction",
    "MCSnorm": "fraction",
    "MCS px": "image_px",
    "MCSpx": "image_px",
}
_RECTANGLE = ("image_left", "image_top", "image_width", "image_height")
_SCREEN = ("screen", "screen_width", "screen_height")
_COLUMNS = ("image", "x", "y", "start", "end", "duration", "fixation", "pupil", "confidence", *_SCREEN, *_RECTANGLE)

TimeUnit = Literal["s", "ms", "us", "ns"]


@dataclass(frozen=True)
class ColumnReader:
    """Reads CSV or TSV files in which a row is a sample, a fixation, or a sample of a fixation.

    A trial is a stretch of rows of one image. A fixation belongs to the image on which it starts, and ends when the
    image changes. Rows that repeat a fixation (by its number, or by position, duration and time) are one fixation.
    The comments in `configs/format/generic.yaml` describe the arguments.
    """

    columns: Mapping[str, Any]
    samples: Mapping[str, Any]
    where: Mapping[str, Names]
    event: Mapping[str, Names]
    optional: Sequence[str]
    trial_columns: Sequence[str]
    unit: Unit
    flip_y: bool
    clock: Literal["trial", "device"]
    time_unit: TimeUnit | Literal["auto"]
    duration_unit: TimeUnit
    min_confidence: Fraction
    name: Literal["column", "file"]
    message: str | None
    file: str
    delimiter: str | None
    patterns: Sequence[str]

    def __post_init__(self) -> None:
        """Refuse unknown and missing columns, and invalid regular expressions."""
        if unknown := sorted({*self.columns, *self.samples}.difference(_COLUMNS)):
            raise ValueError(f"columns.{unknown[0]} is not a column; choose from {', '.join(_COLUMNS)}")
        needed = ["x", "y", *(["image"] if self.name == "column" else []), *([] if self._has_fixations else ["start"])]
        if missing := [key for key in needed if not self.columns.get(key)]:
            raise ValueError(f"columns.{missing[0]} is not set: add the name of the column")
        compile_pattern("file", self.file)
        compile_pattern("message", self.message or "()")
        for argument in ("where", "event"):
            for column, patterns in getattr(self, argument).items():
                compile_pattern(f"{argument}.{column}", f"({'|'.join(listed(patterns))})")

    @property
    def _has_fixations(self) -> bool:
        return bool(self.columns.get("duration") or self.columns.get("end"))

    def __call__(self, request: ImportRequest) -> ImportResult:
        """Import all recordings, see `import_recordings`."""
        return import_recordings(request, self.read, self.patterns)

    def read(self, path: Path) -> Recording:
        """Read one file; refuse one that lacks a column, or whose values cannot be in these units."""
        samples = {**self.columns, **self.samples}
        table = read_table(path, self.delimiter, [*listed(self.columns["x"]), *listed(samples["x"])])
        names = self._names(table)
        self._check_filters(table)
        for column, patterns in self.where.items():
            mask = _matching(table, column, patterns)
            if mask is not None and not mask.any():
                cells = first_few(dict.fromkeys(table.texts(str(table.find(column)))))
                raise ValueError(f"{path}: no row matches format.where.{column}={patterns}; the column has {cells}")
            table = table if mask is None else table.select(mask)
        table.check_lengths()
        masks = [m for column, patterns in self.event.items() if (m := _matching(table, column, patterns)) is not None]
        is_event = np.all(masks, axis=0) if masks else np.ones(len(table), bool)
        timed = any(table.find(self.columns.get(key)) for key in ("duration", "end"))
        if (timed and is_event.any()) or (self._has_fixations and not self.samples):
            rows = self._rows(table, self.columns, names, is_event)
            trials, stray = rows.fixations(np.flatnonzero(is_event), self.clock == "device")
        else:
            rows = self._rows(table, samples, names, None)
            trials, stray = rows.samples(), 0
        if not trials:
            raise ValueError(f"{path}: no row names an image; set format.columns.image, or format.name=file")
        return Recording(trials, rows.unit, self._screen(table), stray)

    def _check_filters(self, table: Table) -> None:
        """Refuse a table without a column of `where` or `event` that is not optional: it would be read as a whole."""
        for argument in ("where", "event"):
            for column in getattr(self, argument):
                if column not in self.optional:
                    table.need(column, f"correct the name in format.{argument}, or add it to format.optional")

    def _names(self, table: Table) -> Mapping[int, str]:
        """Return the image's name by line of the file."""
        if self.name == "file":
            return dict.fromkeys(table.lines, name_from_file(table.path, re.compile(self.file)))
        if self.message is None or table.find(self.columns["image"]):
            column = table.need(self.columns["image"], "set format.columns.image")
            return dict(zip(table.lines, map(recorded_name, table.texts(column)), strict=True))
        names, name = {}, ""
        for line, row in zip(table.lines, table.rows, strict=True):
            name = first_group(re.search(self.message, table.delimiter.join(row))) or name
            names[line] = name
        return names

    def _rows(
        self, table: Table, columns: Mapping[str, Any], names: Mapping[int, str], is_event: np.ndarray | None
    ) -> GazeRows:
        """Return the values of the rows in milliseconds and in one unit; rows are samples without `is_event`."""
        x_name, y_name = (table.need(columns[axis], f"set format.columns.{axis}", _COORDINATE_UNITS) for axis in "xy")
        x, y, unit = table.numbers(x_name), table.numbers(y_name), self._coordinate_unit(x_name)
        if self.flip_y:
            y = 1 - y
        if self.min_confidence and (name := table.find(columns.get("confidence"))):
            x[unsure := table.numbers(name) < self.min_confidence] = np.nan
            y[unsure] = np.nan
        check_coordinates(table.path, x, y, unit)
        repeated = is_event is None or bool((np.diff(np.stack([x, y])[:, is_event]) == 0).all(axis=0).any())
        interval = (0.4, 100.0) if repeated else (20.0, 5000.0)  # ms between samples, or between fixations
        start = self._times(table, columns, "start", interval, needed=is_event is None)
        duration = None
        if is_event is not None and (name := table.find(columns.get("duration"))):
            duration = table.numbers(name) * _TIME_UNITS.get(unit_of(name), _TIME_UNITS[self.duration_unit])
        elif is_event is not None:
            key = "end" if columns.get("end") else "duration"
            duration = self._times(table, columns, key, interval, needed=True) - start
        sessions = [table.texts(name) for column in self.trial_columns if (name := table.find(column))]
        number, pupil = table.find(columns.get("fixation")), table.find(columns.get("pupil"))
        place = [table.find(columns.get(key), ("px", "DACS px", "ADCSpx")) for key in _RECTANGLE]
        return GazeRows(
            path=table.path,
            images=[names[line] for line in table.lines],
            sessions=list(zip(*sessions, strict=True)) if sessions else [()] * len(table),
            start=start,
            duration=duration,
            x=x,
            y=y,
            pupil=table.numbers(pupil),
            unit=unit,
            numbers=table.texts(number) if number else None,
            rectangles=np.stack([table.numbers(name) for name in place], axis=1) if all(place) else None,
        )

    def _times(
        self, table: Table, columns: Mapping[str, Any], key: str, interval: tuple[float, float], needed: bool
    ) -> np.ndarray:
        """Return the times of a column in milliseconds; NaN without one."""
        names = columns.get(key)
        name = table.need(names, f"set format.columns.{key}") if needed or names else None
        if name is None:
            return np.full(len(table), np.nan)
        values, unit = table.numbers(name), unit_of(name)
        if unit not in _TIME_UNITS:
            unit = _guess(table.path, values, interval) if self.time_unit == "auto" else self.time_unit
        return values * _TIME_UNITS[unit]

    def _coordinate_unit(self, column: str) -> Unit:
        """Return the unit in a header; pixels and fractions without their reference are those of `unit`."""
        unit = _COORDINATE_UNITS.get(unit_of(column), self.unit)
        generic = {("px", "image_px"), ("fraction", "screen")}
        return self.unit if unit_of(column) in ("px", "normalized") and (unit, self.unit) in generic else unit

    def _screen(self, table: Table) -> tuple[float, float] | None:
        """Return width and height of the screen in pixels, if the file tells."""
        whole, *sides = (table.find(self.columns.get(key)) for key in _SCREEN)
        text = table.texts(whole)[0] if whole else " x ".join(table.texts(name)[0] for name in sides if name)
        found = re.fullmatch(r"\s*(\d+)\s*x\s*(\d+)\s*", text)
        return (float(found[1]), float(found[2])) if found else None


def _matching(table: Table, column: str, patterns: Names) -> np.ndarray | None:
    """Return the rows with the first pattern that any row matches, bool [N]; None without such a column."""
    if (name := table.find(column)) is None:
        return None
    cells = table.texts(name)
    masks = (np.array([bool(re.fullmatch(pattern, cell)) for cell in cells], bool) for pattern in listed(patterns))
    return next((mask for mask in masks if mask.any()), np.zeros(len(cells), bool))


def _guess(path: Path, times: np.ndarray, interval: tuple[float, float]) -> str:
    """Return the unit in which a typical step between rows is inside `interval` (milliseconds); refuse others."""
    steps = np.diff(times)
    if not (steps > 0).any():
        return "ms"
    step = float(np.quantile(steps[steps > 0], 0.25, method="lower"))
    unit = next((unit for unit, scale in _TIME_UNITS.items() if interval[0] <= step * scale <= interval[1]), None)
    if unit is None:
        raise ValueError(
            f"{path}: the unit of time is not in the header, and rows are {step:g} apart; set format.time_unit"
        )
    return unit
