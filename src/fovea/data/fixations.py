"""The fixation table: one CSV a data set, one row a fixation, in the format of GazeMedSeg."""

import csv
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

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
"""Columns of a written table. X and Y are fractions of width and height, DURATION and START milliseconds."""

NEEDED = COLUMNS[:5]
"""Columns that a table must have to be read."""

DROPPED = ("unknown_image", "unsafe_name", "not_a_number", "outside_image", "too_short")
"""Why a row is not used; the first reason that holds is the one counted."""

_MISSING = frozenset({"", "."})  # how spreadsheets and eye trackers write a value that was lost


@dataclass(frozen=True)
class Fixations:
    """The usable fixations on one image, in time order.

    Attributes:
        x: float64 [N], fractions of the width.
        y: float64 [N], fractions of the height.
        duration: float64 [N], milliseconds.
        dropped: rows of this image that are not used.
        outside: those of them that lie beside the image.
    """

    x: np.ndarray
    y: np.ndarray
    duration: np.ndarray
    dropped: int = 0
    outside: int = 0

    def __len__(self) -> int:
        return len(self.duration)

    def first(self, share: float) -> "Fixations":
        """The first `share` of the gaze, in (0, 1], by time; the fixation in which that ends is cut short."""
        if share >= 1:
            return self
        before = np.cumsum(self.duration) - self.duration
        left = np.minimum(self.duration, share * self.duration.sum() - before)
        used = left > 0
        return replace(self, x=self.x[used], y=self.y[used], duration=left[used])


@dataclass(frozen=True)
class FixationTable:
    """The fixations of a data set by image id, and how many rows were used or dropped, and why."""

    images: Mapping[str, Fixations]
    used: int
    dropped: Mapping[str, int]

    def of(self, image_id: str) -> Fixations:
        """The fixations on an image; empty where there are none."""
        return self.images.get(image_id, _fixations([], Counter()))

    def first(self, share: float) -> "FixationTable":
        """The table with the first `share` of the gaze on each image, see `Fixations.first`; counts stay the file's."""
        return replace(self, images={name: fixations.first(share) for name, fixations in self.images.items()})

    def summary(self) -> dict[str, int]:
        """Counts: `rows`, `used`, `images` with a usable fixation, and one for each reason in `DROPPED`."""
        seen = sum(len(fixations) > 0 for fixations in self.images.values())
        rows = self.used + sum(self.dropped.values())
        return {"rows": rows, "used": self.used, "images": seen, **self.dropped}

    def __str__(self) -> str:
        """The summary as one line."""
        counts = self.summary()
        reasons = [f"{count} {reason.replace('_', ' ')}" for reason, count in self.dropped.items() if count]
        dropped = f"; dropped {', '.join(reasons)}" if reasons else ""
        return f"{counts['used']} of {counts['rows']} fixations used on {counts['images']} images{dropped}"


def read_fixations(path: Path, ids: Iterable[str], min_duration: float = 50.0) -> FixationTable:
    """Read a fixation CSV. Rows belong to images by the stem of `IMAGE`: `<slice>.jpg` matches the id `<slice>`.

    Rows with coordinates outside [0, 1], lost values, short durations (the filter of Zhong et al. 2024), unknown
    images or names that hold a path are counted and left out.

    Args:
        path: the CSV, UTF-8, with the columns of `NEEDED`.
        ids: the data set's image ids.
        min_duration: shortest fixation used, in milliseconds.

    Raises:
        ValueError: the file is missing, empty, not UTF-8, lacks a column, holds text in place of a number (the line
            and column are named), or no row belongs to any image.
    """
    known = frozenset(ids)
    dropped = dict.fromkeys(DROPPED, 0)
    lost: dict[str, Counter[str]] = {}
    kept: dict[str, list[tuple[float, ...]]] = {}
    for row in _rows(path):
        image_id = _image_id(row.image, known)
        if image_id is None:
            dropped["unsafe_name" if _holds_path(row.image) else "unknown_image"] += 1
        elif fault := row.fault(min_duration):
            dropped[fault] += 1
            lost.setdefault(image_id, Counter())[fault] += 1
        else:
            kept.setdefault(image_id, []).append((row.index, row.x, row.y, row.duration))
    if not kept and not lost:
        raise ValueError(_no_match(path, sum(dropped.values()), known))
    images = {name: _fixations(kept.get(name, []), lost.get(name, Counter())) for name in sorted({*kept, *lost})}
    return FixationTable(images, sum(map(len, kept.values())), dropped)


def write_fixations(path: Path, rows: Iterable[Sequence[object]]) -> None:
    """Write rows in the order of `COLUMNS`; the file is whole or absent."""
    write_csv(path, COLUMNS, rows)


@dataclass(frozen=True)
class _Row:
    image: str
    index: float
    x: float
    y: float
    duration: float

    def fault(self, min_duration: float) -> str | None:
        """Why the row is of no use, or None."""
        if not (math.isfinite(self.duration) and not math.isnan(self.x) and not math.isnan(self.y)):
            return "not_a_number"
        if not (0 <= self.x <= 1 and 0 <= self.y <= 1):
            return "outside_image"
        return "too_short" if self.duration < min_duration else None


def _rows(path: Path) -> Iterator[_Row]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            header = [name.strip() for name in next(reader, [])]
            places = _places(path, header)
            for cells in reader:
                if cells:
                    yield _row(path, reader.line_num, cells, places)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ValueError(f"labels.path: cannot read {path}: {reason}; name the fixation CSV") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 text; save the table as CSV in UTF-8") from error
    except csv.Error as error:
        raise ValueError(f"{path}: no CSV ({error}); save the table as CSV in UTF-8") from error


def _places(path: Path, header: Sequence[str]) -> list[int]:
    if not any(header):
        raise ValueError(f"{path}: empty, or without a header; its first line should name {', '.join(NEEDED)}")
    if absent := [name for name in NEEDED if name not in header]:
        raise ValueError(f"{path}: no column {', '.join(absent)}; the header names {first_few(header, 9)}")
    return [header.index(name) for name in NEEDED]


def _row(path: Path, line: int, cells: Sequence[str], places: Sequence[int]) -> _Row:
    if len(cells) <= max(places):
        raise ValueError(f"{path}: line {line} has only {len(cells)} cells; complete or delete it")
    image = cells[places[0]].strip()
    index, x, y, duration = (
        _number(path, line, name, cells[place]) for name, place in zip(NEEDED[1:], places[1:], strict=True)
    )
    return _Row(image, index, x, y, duration)


def _number(path: Path, line: int, column: str, cell: str) -> float:
    ordering = column == "CURRENT_FIX_INDEX"  # an order cannot be lost, a coordinate can
    number: float | None = None
    with suppress(ValueError):
        number = math.nan if cell.strip() in _MISSING else float(cell)
    if number is None or (ordering and not math.isfinite(number)):
        raise ValueError(f"{path}: line {line}, column {column}: {cell[:40]!r} is no number; mend or delete the line")
    return number


def _holds_path(image: str) -> bool:
    return "/" in image or "\\" in image


def _image_id(image: str, known: frozenset[str]) -> str | None:
    """The id a row belongs to. The name is only ever looked up, never opened."""
    if _holds_path(image):
        return None
    return next((name for name in (image, PurePosixPath(image).stem) if name in known), None)


def _no_match(path: Path, rows: int, known: frozenset[str]) -> str:
    if not rows:
        return f"{path}: no fixation below the header; export the table again"
    ids = first_few(sorted(known), 2)
    return f"{path}: none of its {rows} rows belongs to an image ({ids}); check the column IMAGE and data.root"


def _fixations(rows: list[tuple[float, ...]], lost: Counter[str]) -> Fixations:
    table = np.array(sorted(rows, key=lambda row: row[0]), dtype=np.float64).reshape(-1, 4)
    x, y, duration = (table[:, column].copy() for column in (1, 2, 3))
    return Fixations(x, y, duration, dropped=lost.total(), outside=lost["outside_image"])
