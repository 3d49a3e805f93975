"""Pupil Labs: what Pupil Player exports, on a surface or in the picture of the world camera."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fovea.importers.recordings import import_recordings
from fovea.importers.tables import Table, read_table, runs
from fovea.importers.task import Outcome, Task
from fovea.importers.trials import Recording, Trial, check_choice, file_name, name_from_file

SURFACES = {"image": "fraction", "screen": "screen"}
"""What the normalised coordinates are fractions of, and the unit of the recording that makes."""

# Of a table of fixations, or of samples, the first name that it has: on a surface, or in the world camera's picture.
_X = ("norm_pos_x", "x_norm")
_Y = ("norm_pos_y", "y_norm")
_TIME = ("start_timestamp", "gaze_timestamp", "world_timestamp", "timestamp")
_FIXATION = ("fixation_id", "id")


class Pupil:
    """Pupil Core's `fixations.csv` and `gaze_positions.csv`, and the same on a surface.

    Coordinates are normalised with the origin at the bottom left. Off a surface they are those of the world camera's
    picture, and of use only where that is the image.

    Args:
        surface: what the surface is: the `image`, or the `screen` that the image stands on.
        name: where an image's name comes from: `file`, or a `column` (of a table that you have completed).
        column: with `name=column`, the column that holds it.
        file: with `name=file`, see `name_from_file`; by default the name of the surface, or of the folder.
        min_confidence: of a fixation or sample; less of it counts as lost.
        patterns: of the files that are read in a folder.

    Raises:
        ValueError: an argument makes no sense.
    """

    def __init__(
        self, surface: str, name: str, column: str, file: str, min_confidence: float, patterns: Sequence[str]
    ) -> None:
        check_choice("format.surface", surface, tuple(SURFACES))
        check_choice("format.name", name, ("column", "file"))
        self.unit, self.name, self.column, self.file = SURFACES[surface], name, column, file
        self.min_confidence, self.patterns = min_confidence, patterns

    def __call__(self, task: Task) -> Outcome:
        """See `import_recordings`."""
        return import_recordings(task, self.read, self.patterns)

    def read(self, path: Path) -> Recording:
        """Read one file: fixations where it has durations, else samples.

        Raises:
            ValueError: it cannot be read, or lacks a column.
        """
        table = read_table(path)
        start = table.numbers(_first(table, _TIME)) * 1000.0
        x, y = table.numbers(_first(table, _X)), 1.0 - table.numbers(_first(table, _Y))
        if "confidence" in table.header:
            unsure = table.numbers("confidence") < self.min_confidence
            x[unsure] = y[unsure] = np.nan
        if self.name == "file":
            images = [name_from_file(path, self.file)] * len(table)
        else:
            images = [file_name(cell) for cell in table.texts(self.column)]
        duration = table.numbers("duration") if "duration" in table.header else None
        fixation = table.texts(_first(table, _FIXATION)) if duration is not None else []
        trials = []
        for at in (each for each in runs(images) if images[each.start]):
            trial = Trial(
                images[at.start],
                start[at] - np.nanmin(start[at]),
                x[at],
                y[at],
                np.full(at.stop - at.start, np.nan),
                None if duration is None else duration[at],
            )
            trials.append(trial if duration is None else _merged(trial, fixation[at]))
        return Recording(trials, self.unit)


def _merged(trial: Trial, fixation: Sequence[str]) -> Trial:
    """One row a fixation: on a surface the export has a row for each picture of the world camera."""
    assert trial.duration is not None
    _, first, inverse = np.unique(np.array(fixation), return_index=True, return_inverse=True)
    order = np.argsort(first)
    parts = [np.flatnonzero(inverse == label) for label in order]
    first = first[order]
    x, y = (np.array([_mean(values[part]) for part in parts]) for values in (trial.x, trial.y))
    return Trial(trial.image, trial.start[first], x, y, trial.pupil[first], trial.duration[first])


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else np.nan


def _first(table: Table, names: Sequence[str]) -> str:
    found = next((name for name in names if name in table.header), None)
    if found is None:
        raise ValueError(f"{table.path}: no column {' or '.join(names)}; is this an export of Pupil Player?")
    return found
