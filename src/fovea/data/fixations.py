"""The fixation table: one CSV for each data set, one row for each fixation, in the format of GazeMedSeg."""

import csv
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fovea.data.names import Names
from fovea.runtime.errors import first_few
from fovea.runtime.files import write_csv

COLUMNS = (
    "IMAGE",
    "CURRENT_FIX_INDEX",
    "CURRENT_FIX_X",
    "CURRENT_FIX_Y",
    "CURRENT_FIX_DURATION",
    "CURRENT_FIX_PUPIL",
    "CURRENT_FIX_START",
    "IMAGE_HEIGHT",
    "IMAGE_WIDTH",
)
"""Columns of a written table. X and Y are fractions of width and height, DURATION and START are milliseconds."""

NEEDED = COLUMNS[:5]
"""Columns that a table must have to be read."""

DROPPED = ("unknown_image", "unsafe_name", "not_a_number", "outside_image", "too_short")
"""Reasons to drop a row. A row is counted under the first reason that applies."""

_MISSING = frozenset({"", "."})  # spreadsheets and eye trackers write a lost value like this


@dataclass(frozen=True)
class Fixations:
    """The usable fixations on one image, in time order.

    Attributes:
        x: float64 [N], fractions of the width.
        y: float64 [N], fractions of the height.
        duration: float64 [N], milliseconds.
        dropped: Number of rows of this image that are not used.
        outside: Number of them that are outside the image.
    """

    x: np.ndarray
    y: np.ndarray
    duration: np.ndarray
    dropped: int = 0
    outside: int = 0

    def __len__(self) -> int:
        return len(self.duration)

    def first(self, share: float) -> "Fixations":
        """Return the first `share` of the gaze by time, in (0, 1]; the last fixation is cut at that point."""
        if share >= 1:
            return self
        before = np.cumsum(self.duration) - self.duration
        left = np.minimum(self.duration, share * self.duration.sum() - before)
        used = left > 0
        return replace(self, x=self.x[used], y=self.y[used], duration=left[used])

    def statistics(self) -> dict[str, float]:
        """Return the figures that the manifest of a store records for an image."""
        total = round(float(self.duration.sum()), 3)
        return {"fixations": len(self), "dropped": self.dropped, "duration_ms": total}

    def tobytes(self) -> bytes:
        """Return everything that a map depends on as bytes, the same on every machine."""
        return b"".join(np.ascontiguousarray(values, "<f8").tobytes() for values in (self.x, self.y, self.duration))


@dataclass(frozen=True)
class FixationTable:
    """The fixations of a data set by image ID, and how many rows are used or dropped, by reason."""

    images: Mapping[str, Fixations]
    used: int
    dropped: Mapping[str, int]

    def of(self, image_id: str) -> Fixations:
        """Return the fixations on an image, which may be none."""
        return self.images.get(image_id, _fixations([], Counter()))

    def first(self, share: float) -> "FixationTable":
        """Keep the first `share` of the gaze on each image, see `Fixations.first`; the counts remain the file's."""
        return replace(self, images={name: fixations.first(share) for name, fixations in self.images.items()})

    def summary(self) -> dict[str, int]:
        """Return the number of `rows`, of those `used`, of `images` with fixations, and of rows `DROPPED` by reason."""
        images = sum(len(fixations) > 0 for fixations in self.images.values())
        rows = self.used + sum(self.dropped.values())
        return {"rows": rows, "used": self.used, "images": images, **self.dropped}

    def __str__(self) -> str:
        """Return the summary as one line."""
        counts = self.summary()
        reasons = [f"{count} {reason.replace('_', ' ')}" for reason, count in self.dropped.items() if count]
        dropped = f"; dropped {', '.join(reasons)}" if reasons else ""
        return f"{counts['used']} of {counts['rows']} fixations used on {counts['images']} images{dropped}"


def read_fixations(path: Path, ids: Iterable[str], min_duration: float = 50.0) -> FixationTable:
    """Read a fixation CSV. Rows belong to images by `IMAGE`, see `fovea.data.names`: `<slice>.jpg` means `<slice>`.

    Rows with coordinates outside [0, 1], lost values, short durations (the filter of Zhong et al. 2024), unknown
    images or a path with `..` are counted and dropped.

    Args:
        path: The CSV, UTF-8, with the columns of `NEEDED`.
        ids: The image IDs of the data set.
        min_duration: The shortest fixation to use, in milliseconds.

    Raises:
        ValueError: The file is missing, empty, not UTF-8, lacks a column, has text instead of a number (the message
            names line and column), or no row belongs to an image.
    """
    names = Names(ids, path)
    dropped = dict.fromkeys(DROPPED, 0)
    lost: dict[str, Counter[str]] = {}
    kept: dict[str, list[tuple[float, ...]]] = {}
    for image, index, x, y, duration in _rows(path):
        unsafe = ".." in image.replace("\\", "/").split("/")
        image_id = None if unsafe else names(image)
        if image_id is None:
            dropped["unsafe_name" if unsafe else "unknown_image"] += 1
        elif reason := _reason_to_drop(x, y, duration, min_duration):
            dropped[reason] += 1
            lost.setdefault(image_id, Counter())[reason] += 1
        else:
            kept.setdefault(image_id, []).append((index, x, y, duration))
    if not kept and not lost:
        raise ValueError(_no_match(path, sum(dropped.values()), names))
    images = {name: _fixations(kept.get(name, []), lost.get(name, Counter())) for name in sorted({*kept, *lost})}
    return FixationTable(images, sum(map(len, kept.values())), dropped)


def write_fixations(path: Path, rows: Iterable[Sequence[object]]) -> None:
    """Write rows in the order of `COLUMNS`; the file is complete or absent."""
    write_csv(path, COLUMNS, rows)


def _reason_to_drop(x: float, y: float, duration: float, min_duration: float) -> str | None:
    if not math.isfinite(duration) or math.isnan(x) or math.isnan(y):
        return "not_a_number"
    if not (0 <= x <= 1 and 0 <= y <= 1):
        return "outside_image"
    return "too_short" if duration < min_duration else None


def _rows(path: Path) -> Iterator[tuple[str, float, float, float, float]]:
    """Yield image, index, x, y and duration of each row."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            header = [name.strip() for name in next(reader, [])]
            if not any(header):
                raise ValueError(f"{path}: no header; the first line must name {', '.join(NEEDED)}")
            if absent := [name for name in NEEDED if name not in header]:
                raise ValueError(f"{path}: no column {', '.join(absent)}; the header has {first_few(header, 9)}")
            columns = [header.index(name) for name in NEEDED]
            for cells in filter(None, reader):
                if len(cells) <= max(columns):
                    raise ValueError(f"{path}: line {reader.line_num} has only {len(cells)} cells; fix or delete it")
                image, *numbers = (cells[column].strip() for column in columns)
                named = zip(NEEDED[1:], numbers, strict=True)
                index, x, y, duration = (_number(path, reader.line_num, name, cell) for name, cell in named)
                yield image, index, x, y, duration
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ValueError(f"cannot read {path}: {reason}; set labels.path to the fixation CSV") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 text; save the table as CSV in UTF-8") from error
    except csv.Error as error:
        raise ValueError(f"{path}: not a CSV ({error}); save the table as CSV in UTF-8") from error


def _number(path: Path, line: int, column: str, cell: str) -> float:
    try:
        number = math.nan if cell in _MISSING else float(cell)
        if column != "CURRENT_FIX_INDEX" or math.isfinite(number):  # coordinates may be lost, the order may not
            return number
    except ValueError:
        pass
    raise ValueError(f"{path}: line {line}, column {column}: {cell[:40]!r} is not a number; fix or delete the line")


def _no_match(path: Path, rows: int, names: Names) -> str:
    if not rows:
        return f"{path}: no fixation below the header; export the table again"
    recorded = first_few([repr(name) for name in names.found], 2)
    ids = names.nearest(names.found) or f", which has {first_few(sorted(names.ids or ()), 2)}"
    return (
        f"{path}: none of the {rows} rows ({recorded}) belongs to an image{ids}; check the column IMAGE and data.root"
    )


def _fixations(rows: list[tuple[float, ...]], lost: Counter[str]) -> Fixations:
    table = np.array(sorted(rows, key=lambda row: row[0]), dtype=np.float64).reshape(-1, 4)
    x, y, duration = (table[:, column].copy() for column in (1, 2, 3))
    return Fixations(x, y, duration, dropped=lost.total(), outside=lost["outside_image"])
