"""Tobii Pro Lab: the data export (TSV), a row a sample."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fovea.importers.recordings import import_recordings
from fovea.importers.tables import Table, read_table, runs, unit_of
from fovea.importers.task import Outcome, Task
from fovea.importers.trials import TIME_UNITS, Recording, Trial, check_choice, file_name, name_from_file

_PIXELS = ("DACS px", "px")  # of the display; coordinates of the media ("MCS") are another thing


class Tobii:
    """Tobii Pro Lab's data export: fixations as its gaze filter classified them, else samples.

    Columns are found by their names with or without a unit in brackets: `Recording timestamp`, `Gaze point X` and
    `Y`, `Eye movement type`, `Gaze event duration`, `Fixation point X` and `Y`, `Presented Stimulus name`.

    Args:
        name: where an image's name comes from: `column` or `file`.
        column: with `name=column`, the column that holds it.
        file: with `name=file`, see `name_from_file`.
        time_unit: of the timestamps where the header does not say: s, ms or us.
        patterns: of the files that are read in a folder.

    Raises:
        ValueError: an argument makes no sense.
    """

    def __init__(
        self, name: str, column: str, file: str, time_unit: str, patterns: Sequence[str] = ("*.tsv", "*.txt", "*.csv")
    ) -> None:
        check_choice("format.name", name, ("column", "file"))
        check_choice("format.time_unit", time_unit, tuple(TIME_UNITS))
        self.name, self.column, self.file, self.time_unit, self.patterns = name, column, file, time_unit, patterns

    def __call__(self, task: Task) -> Outcome:
        """See `import_recordings`."""
        return import_recordings(task, self.read, self.patterns)

    def read(self, path: Path) -> Recording:
        """Read one file.

        Raises:
            ValueError: it cannot be read, or lacks a column.
        """
        table = _of_the_eye(read_table(path))
        time = _needed(table, "Recording timestamp", tuple(TIME_UNITS))
        start = table.numbers(time) * TIME_UNITS.get(unit_of(time), TIME_UNITS[self.time_unit])
        if self.name == "file":
            images = [name_from_file(path, self.file)] * len(table)
        else:
            images = [file_name(cell) for cell in table.texts(_needed(table, self.column))]
        kind = table.find("Eye movement type")
        kinds = table.texts(kind) if kind else []
        trials = _fixations(table, images, start, kinds) if "Fixation" in kinds else _samples(table, images, start)
        if not trials:
            raise ValueError(
                f"{path}: no row names an image in {self.column}; export that column, or set format.name=file"
            )
        return Recording(trials, "px")


def _of_the_eye(table: Table) -> Table:
    """Without rows of the mouse and of events, which stand between the samples of a fixation."""
    for column, mark in (("Sensor", "Eye Tracker"), ("Eye movement type", "")):
        name = table.find(column)
        kept = [cell == mark if mark else cell != "" for cell in table.texts(name)] if name else []
        if any(kept):
            table = table.where(kept)
    return table


def _fixations(table: Table, images: list[str], start: np.ndarray, kinds: list[str]) -> list[Trial]:
    """A fixation fills the rows of its samples with equal values: a stretch of rows is one fixation."""
    x, y = (table.numbers(_needed(table, f"Fixation point {axis}", _PIXELS)) for axis in "XY")
    column = _needed(table, "Gaze event duration", tuple(TIME_UNITS))
    duration = table.numbers(column) * TIME_UNITS.get(unit_of(column), 1.0)
    pupil = table.numbers(table.find("Pupil diameter filtered", ("mm",)) or table.find("Pupil diameter left", ("mm",)))
    index = table.find("Eye movement type index")
    place = table.texts(index) if index else [f"{a} {b}" for a, b in zip(x, y, strict=True)]
    trials = []
    for shown in runs(images):
        if not images[shown.start]:
            continue
        first = [
            shown.start + each.start
            for each in runs(kinds[shown], place[shown])
            if kinds[shown.start + each.start] == "Fixation"
        ]
        if first:
            onset = np.nanmin(start[shown])
            values = (start[first] - onset, x[first], y[first], pupil[first], duration[first])
            trials.append(Trial(images[shown.start], *values))
    return trials


def _samples(table: Table, images: list[str], start: np.ndarray) -> list[Trial]:
    x, y = (table.numbers(_needed(table, f"Gaze point {axis}", _PIXELS)) for axis in "XY")
    pupil = table.numbers(table.find("Pupil diameter filtered", ("mm",)) or table.find("Pupil diameter left", ("mm",)))
    return [
        Trial(images[at.start], start[at] - np.nanmin(start[at]), x[at], y[at], pupil[at], None)
        for at in runs(images)
        if images[at.start]
    ]


def _needed(table: Table, name: str, units: Sequence[str] = ()) -> str:
    """The column of that name; `Table.texts` complains where there is none."""
    column = table.find(name, units)
    if column is None:
        table.texts(name)
    return str(column)
