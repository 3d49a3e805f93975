"""Any table of fixations or samples whose columns are named by keys."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from fovea.importers.recordings import import_recordings
from fovea.importers.tables import read_table, runs
from fovea.importers.task import Outcome, Task
from fovea.importers.trials import TIME_UNITS, UNITS, Recording, Trial, check_choice, file_name, name_from_file

NEEDED = ("x", "y")
COLUMNS = ("image", "x", "y", "start", "duration", "pupil")


class Generic:
    """CSV or TSV files, a row a fixation, or a row a sample where `columns.duration` is null.

    A trial is a stretch of rows of one image.

    Args:
        columns: names of the columns by what they hold (`COLUMNS`); null where there is none. x and y are needed,
            image with `name=column`, and start (the time) for samples.
        unit: of the coordinates, see `fovea.importers.trials.UNITS`.
        time_unit: of start and duration: s, ms or us.
        name: where an image's name comes from: `column` or `file`.
        file: with `name=file`, see `name_from_file`.
        delimiter: between cells; null to take that of the header.
        patterns: of the files that are read in a folder.

    Raises:
        ValueError: an argument makes no sense.
    """

    def __init__(
        self,
        columns: Mapping[str, str | None],
        unit: str,
        time_unit: str,
        name: str,
        file: str,
        delimiter: str | None = None,
        patterns: Sequence[str] = ("*.csv", "*.tsv", "*.txt"),
    ) -> None:
        check_choice("format.name", name, ("column", "file"))
        check_choice("format.unit", unit, UNITS)
        check_choice("format.time_unit", time_unit, tuple(TIME_UNITS))
        self.columns = {key: columns.get(key) for key in COLUMNS}
        for key in (
            *NEEDED,
            *(["image"] if name == "column" else []),
            *([] if self.columns["duration"] else ["start"]),
        ):
            if self.columns[key] is None:
                raise ValueError(f"format.columns.{key} is not given: name the column of the table that holds it")
        self.unit, self.scale, self.name = unit, TIME_UNITS[time_unit], name
        self.file, self.delimiter, self.patterns = file, delimiter, patterns

    def __call__(self, task: Task) -> Outcome:
        """See `import_recordings`."""
        return import_recordings(task, self.read, self.patterns)

    def read(self, path: Path) -> Recording:
        """Read one file.

        Raises:
            ValueError: it cannot be read, lacks a column, or its coordinates are in another unit.
        """
        table = read_table(path, self.delimiter)
        if self.name == "file":
            images = [name_from_file(path, self.file)] * len(table)
        else:
            images = [file_name(cell) for cell in table.texts(str(self.columns["image"]))]
        x, y, pupil = (table.numbers(self.columns[key]) for key in ("x", "y", "pupil"))
        start = table.numbers(self.columns["start"]) * self.scale
        duration = table.numbers(self.columns["duration"]) * self.scale if self.columns["duration"] else None
        check_unit(path, x, y, self.unit)
        trials = []
        for at in runs(images):
            if not images[at.start]:
                continue  # between trials
            # The clock of samples is the tracker's; that of a fixation table is left as it is.
            onset = np.nanmin(start[at]) if duration is None else 0.0
            length = None if duration is None else duration[at]
            trials.append(Trial(images[at.start], start[at] - onset, x[at], y[at], pupil[at], length))
        return Recording(trials, self.unit)


def check_unit(path: Path, x: np.ndarray, y: np.ndarray, unit: str) -> None:
    """Make sure that coordinates can be in this unit.

    Raises:
        ValueError: they are called fractions and most are above 1, or pixels and none is.
    """
    known = np.isfinite(x) & np.isfinite(y)
    above = (x[known] > 1) | (y[known] > 1)
    if unit != "px" and len(above) and above.mean() > 0.5:
        raise ValueError(
            f"{path}: most coordinates are above 1, so they are pixels and no fractions; set format.unit=px"
        )
    if unit == "px" and len(above) and not above.any() and np.ptp(x[known]) > 0:
        raise ValueError(
            f"{path}: no coordinate is above 1, so they are fractions and no pixels; "
            "set format.unit=fraction (of the image) or screen"
        )
