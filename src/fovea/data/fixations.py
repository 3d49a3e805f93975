"""The fixation table: one CSV for each data set, one row for each fixation, in the format of GazeMedSeg."""

import logging
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from fovea.data.names import Names
from fovea.data.table import Annotations, no_match, read_rows
from fovea.runtime.errors import first_few

COLUMNS = (
    *("IMAGE", "CURRENT_FIX_INDEX", "CURRENT_FIX_X", "CURRENT_FIX_Y", "CURRENT_FIX_DURATION", "CURRENT_FIX_PUPIL"),
    *("CURRENT_FIX_START", "IMAGE_HEIGHT", "IMAGE_WIDTH"),
)
"""Columns of a written table. X and Y are fractions of width and height, DURATION and START are milliseconds."""

NEEDED = COLUMNS[:5]
"""Columns that a table must have to be read."""

OBSERVERS = ("observer", "annotator")
"""Names of the column that tells who looked, in any case; a table without it has one observer."""

DROPPED = ("unknown_image", "unsafe_name", "repeated", "not_a_number", "outside_image", "too_short")
"""Reasons to drop a row. A row is counted under the first reason that applies."""

_UNITS = "X and Y must be fractions of the sides, DURATION milliseconds"
_LONG = 10_000.0  # ms, of the median fixation

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fixations:
    """The usable fixations on one image, by observer and time."""

    x: np.ndarray  # float64 [N], fractions of the width
    y: np.ndarray  # float64 [N], fractions of the height
    duration: np.ndarray  # float64 [N], milliseconds
    dropped: int = 0  # rows of this image that are not used
    outside: int = 0  # those of them that are outside the image
    sizes: tuple[int, ...] = ()  # fixations of each observer, in the order of their names; they sum to N

    def __len__(self) -> int:
        return len(self.duration)

    def by_observer(self) -> list["Fixations"]:
        """Return the fixations of each observer."""
        if len(self.sizes) < 2:
            return [self]
        ends = np.cumsum(self.sizes)[:-1]
        parts = zip(*(np.split(values, ends) for values in (self.x, self.y, self.duration)), strict=True)
        return [Fixations(*values) for values in parts]

    def first(self, share: float) -> "Fixations":
        """Return the first `share` of the gaze of each observer, in (0, 1]; the last fixation is cut at that point."""
        if share >= 1:
            return self
        parts = []
        for each in self.by_observer():
            before = np.cumsum(each.duration) - each.duration
            left = np.clip(share * each.duration.sum() - before, 0, each.duration)
            parts.append((each.x[left > 0], each.y[left > 0], left[left > 0]))
        x, y, duration = map(np.concatenate, zip(*parts, strict=True))
        sizes = tuple(len(part[0]) for part in parts) if self.sizes else ()
        dropped = self.dropped + len(self) - len(x)
        return replace(self, x=x, y=y, duration=duration, dropped=dropped, sizes=sizes)

    def statistics(self) -> dict[str, float]:
        """Return the statistics that the manifest of a store records for an image."""
        total = round(float(self.duration.sum()), 3)
        several = {"observers": len(self.sizes)} if len(self.sizes) > 1 else {}
        return {"fixations": len(self), "dropped": self.dropped, "duration_ms": total, **several}

    def tobytes(self) -> bytes:
        """Return everything that a map depends on as bytes, the same on every machine."""
        arrays = [self.x, self.y, self.duration, *([np.array(self.sizes)] if len(self.sizes) > 1 else [])]
        return b"".join(np.ascontiguousarray(values, "<f8").tobytes() for values in arrays)


@dataclass
class _Rows:
    """The rows of one image."""

    kept: list[tuple[str, float, float, float, float]] = field(default_factory=list)  # observer, index, x, y, duration
    lost: Counter[str] = field(default_factory=Counter)  # by reason
    observers: set[str] = field(default_factory=set)  # also those whose rows are all lost

    def fixations(self) -> Fixations:
        rows = sorted(self.kept, key=lambda row: row[:2])
        x, y, duration = np.array([row[2:] for row in rows], np.float64).reshape(-1, 3).T.copy()
        sizes = Counter(row[0] for row in rows)
        return Fixations(x, y, duration, self.lost.total(), self.lost["outside_image"], tuple(sizes.values()))


def read_fixations(path: Path, ids: Iterable[str], min_duration: float = 50.0) -> Annotations:
    """Read a fixation CSV. Rows belong to images by `IMAGE`, see `fovea.data.names`: `<slice>.jpg` means `<slice>`.

    Rows with coordinates outside [0, 1], lost values, durations below `min_duration` ms (the filter of Zhong et al.
    2024), unknown images, a path with `..`, and all but the first of equal rows are counted and dropped. The file has
    the columns of `NEEDED`, and one of `OBSERVERS` if several people looked. A ValueError names line and column, also
    if two names mean one image; it is raised, too, if no row belongs to an image, or none of those can be used.
    """
    names, seen = Names(ids, path), set()
    dropped = dict.fromkeys(DROPPED, 0)
    images: dict[str, _Rows] = {}
    for row in read_rows(path, NEEDED, OBSERVERS):
        image = row.cells[row.columns["IMAGE"]]
        observer = row.cells[row.columns[OBSERVERS[0]]].strip() if OBSERVERS[0] in row.columns else ""
        index = row.number("CURRENT_FIX_INDEX")  # coordinates may be lost, the order may not
        x, y, duration = (row.number(name, lost=True) for name in NEEDED[2:])
        unsafe = ".." in image.replace("\\", "/").split("/")
        image_id = None if unsafe else names(image)
        if image_id is None:
            dropped["unsafe_name" if unsafe else "unknown_image"] += 1
            continue
        rows = images.setdefault(image_id, _Rows())
        rows.observers.add(observer)
        if reason := "repeated" if row.cells in seen else _reason_to_drop(x, y, duration, min_duration):
            dropped[reason] += 1
            rows.lost[reason] += 1
        else:
            rows.kept.append((observer, index, x, y, duration))
        seen.add(row.cells)
    if not images:
        raise no_match(path, sum(dropped.values()), names, "fixation")
    images = dict(sorted(images.items()))
    fixations = {name: rows.fixations() for name, rows in images.items()}
    table = Annotations(fixations, _Rows().fixations(), "fixations", sum(map(len, fixations.values())), dropped)
    if not table.used:
        raise ValueError(f"{path}: {table}; {_UNITS}")
    _warn(path, images, dropped["repeated"])
    return table


def _warn(path: Path, images: Mapping[str, _Rows], repeated: int) -> None:
    """Log what looks wrong in the rows of a table."""
    if repeated:
        log.warning("%s: %d rows equal an earlier row and are dropped", path, repeated)
    numbered = {name: [row[:2] for row in rows.kept] for name, rows in images.items()}
    if twice := [name for name, places in numbered.items() if len({*places}) < len(places)]:
        fix = "if several people looked, give each a name in a column observer"
        log.warning("%s: %d images have a CURRENT_FIX_INDEX twice: %s; %s", path, len(twice), first_few(twice), fix)
    if unnamed := [name for name, rows in images.items() if "" in rows.observers and len(rows.observers) > 1]:
        fix = "those without count as another person"
        what = "have rows with and without the name of an observer"
        log.warning("%s: %d images %s, %s: %s", path, len(unnamed), what, fix, first_few(unnamed))
    used = {row[0] for rows in images.values() for row in rows.kept}
    if unused := sorted({who for rows in images.values() for who in rows.observers} - used):
        log.warning(
            "%s: no row of %d observers can be used: %s; %s", path, len(unused), first_few(map(repr, unused)), _UNITS
        )
    median = float(np.median([row[4] for rows in images.values() for row in rows.kept]))
    if median > _LONG:
        log.warning("%s: the median fixation lasts %g ms; CURRENT_FIX_DURATION must be in milliseconds", path, median)


def _reason_to_drop(x: float, y: float, duration: float, min_duration: float) -> str | None:
    if not math.isfinite(duration) or math.isnan(x) or math.isnan(y):
        return "not_a_number"
    if not (0 <= x <= 1 and 0 <= y <= 1):
        return "outside_image"
    return "too_short" if duration < min_duration else None
