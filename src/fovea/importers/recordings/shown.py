"""Join a recording with the log of `fovea-collect mode=screen`: which image was where on the screen, and when."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from fovea.importers.recordings.table import Table, read_table

SHOWN = {
    "image": "shown image",
    "image_left": "shown left",
    "image_top": "shown top",
    "image_width": "shown width",
    "image_height": "shown height",
    "screen_width": "shown screen_width",
    "screen_height": "shown screen_height",
}
"""The columns that `add_shown` adds, by their role."""
SPAN = ("shown onset", "shown end")
"""Two more: when the image appeared and disappeared, in milliseconds of the clock of the table."""


def add_shown(table: Table, path: Path, time: np.ndarray, offset: float) -> Table:
    """Return the table with the image that was shown at the time of each row, and its place; empty without one.

    `time` [N] is that of each row in milliseconds, and `offset` leads from its clock to that of the log at `path`,
    which counts milliseconds since 1970.

    A ValueError if the log is damaged, its clock goes back, or no row is within the time of an image.
    """
    log = read_table(path, ",", "onset")
    columns = [log.need(name.removeprefix("shown "), "save the page again") for name in SHOWN.values()]
    onset, end = (log.numbers(log.need(name, "save the page again")) for name in ("onset", "end"))
    if not len(log):
        raise ValueError(f"{path}: no image was shown; save the page again")
    back = np.flatnonzero(~(end >= onset) | ~(np.append(onset[1:], np.inf) >= end))
    if len(back):
        line = log.lines[back[0]]
        raise ValueError(f"{path}: the clock goes back at line {line}; split the log and the recording there")
    moved = time + offset
    place = np.searchsorted(onset, moved, side="right") - 1
    within = (place >= 0) & (moved < end[place])
    if not within.any():
        first, last = (
            f"{each(moved):.0f}" if np.isfinite(moved).any() else "nowhere" for each in (np.nanmin, np.nanmax)
        )
        raise ValueError(
            f"{table.path}: rows from {first} to {last}, but the images of {path} were shown from {onset[0]:.0f} to "
            f"{end[-1]:.0f} (ms since 1970); set format.shown_offset, the ms to add to the clock of the recording"
        )
    span = (map(str, (each - offset).tolist()) for each in (onset, end))
    cells = list(zip(*(log.texts(column) for column in columns), *span, strict=True))
    nothing, width = ("",) * len(cells[0]), len(table.header)
    rows = [  # a row that is too short or too long is refused later, if it is used
        [*row[:width], *(cells[number] if inside else nothing)] if len(row) >= width and not any(row[width:]) else row
        for row, number, inside in zip(table.rows, place.tolist(), within.tolist(), strict=True)
    ]
    return replace(table, header=[*table.header, *SHOWN.values(), *SPAN], rows=rows)
