"""A CSV that people write: columns by name, one annotation a row. Every fault is one line that names file and line."""

import csv
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fovea.data.names import Names
from fovea.runtime.errors import first_few, nearest

BOX_COLUMNS = ("IMAGE", "x0", "y0", "x1", "y1")
"""Of a CSV of boxes: the name of the image, and the left, top, right and bottom edge."""

POINT_COLUMNS = ("IMAGE", "x", "y", "class")  # of a CSV of clicks; class 1 is the foreground, 0 the background
TWO_WAYS = re.compile(r"-?[1-9]\d{0,2}(,\d{3})+")  # 1,234 between tabs
_ABOVE = re.compile(r'\s*("?sep=.*)?\s*', re.IGNORECASE)  # lines above the header: empty, or the delimiter for Excel
_MISSING = frozenset({"", "."})  # spreadsheets and eye trackers write a lost value like this


@dataclass(frozen=True)
class Row:
    """One row: its cells, and the place of each column."""

    path: Path
    line: int
    cells: tuple[str, ...]
    columns: Mapping[str, int]
    delimiter: str = ","

    def number(self, column: str, lost: bool = False) -> float:
        """Return a finite number; with `lost` also infinity, or NaN for an empty cell."""
        cell = self.cells[self.columns[column]].strip()
        wrong = "is not a number; fix or delete the line"
        try:
            number = math.nan if cell in _MISSING else float(cell if self.delimiter == "," else cell.replace(",", "."))
            if self.delimiter == "\t" and TWO_WAYS.fullmatch(cell):
                wrong = "has a decimal comma or thousands; save the table with decimal points"
            elif lost or math.isfinite(number):
                return number
        except ValueError:
            pass
        raise ValueError(f"{self.path}: line {self.line}, column {column}: {cell[:40]!r} {wrong}")


@dataclass(frozen=True)
class Annotations:
    """The annotations of a data set by image ID, and how many rows are used or dropped, by reason."""

    images: Mapping[str, Any]
    empty: Any  # the annotation of an image that nobody labeled
    what: str
    used: int
    dropped: Mapping[str, int]

    def of(self, image_id: str) -> Any:
        """Return the annotation of an image, which may be empty."""
        return self.images.get(image_id, self.empty)

    def summary(self) -> dict[str, int]:
        """Return the number of `rows`, of those `used`, of `images` with some, and of rows dropped, by reason."""
        images = sum(len(annotation) > 0 for annotation in self.images.values())
        rows = self.used + sum(self.dropped.values())
        return {"rows": rows, "used": self.used, "images": images, **self.dropped}

    def __str__(self) -> str:
        counts = self.summary()
        reasons = [f"{count} {reason.replace('_', ' ')}" for reason, count in self.dropped.items() if count]
        dropped = f"; dropped {', '.join(reasons)}" if reasons else ""
        return f"{counts['used']} of {counts['rows']} {self.what} used on {counts['images']} images{dropped}"


def read_rows(path: Path, needed: Sequence[str], optional: Sequence[str] = ()) -> Iterator[Row]:
    """Yield the rows of a CSV in UTF-8 that are not empty; the first line names the columns, which must be `needed`.

    Cells are delimited by the most frequent of comma, semicolon and tab in that line; without commas between its
    cells, a number may have a decimal comma. Empty lines above it do not count, nor does `sep=;`.
    `optional` are names of one column in any case, which `Row.columns` has under the first of them if it is there.
    A ValueError if the file cannot be read, lacks a column or has it twice, or a row is too short or too long.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = next((line for line in file if not _ABOVE.fullmatch(line)), "")
            if "\0" in first:  # UTF-16 without its mark
                raise UnicodeError
            delimiter = max(",;\t", key=first.count)
            file.seek(0)
            reader = csv.reader(file, delimiter=delimiter)
            rows = (cells for cells in reader if not _ABOVE.fullmatch(delimiter.join(cells)))
            header = [name.strip() for name in next(rows, [])]
            columns = _columns(path, header, needed, optional)
            last = max(columns.values())
            for cells in filter(any, reader):
                check_quotes(path, reader.line_num, cells, delimiter)
                if len(cells) <= last:
                    raise ValueError(f"{path}: line {reader.line_num} has only {len(cells)} cells; fix or delete it")
                if extra := [cell for cell in cells[len(header) :] if cell.strip()]:
                    extras = f"{len(extra)} cells more than the header, perhaps decimal commas"
                    raise ValueError(f"{path}: line {reader.line_num} has {extras}; save it with decimal points")
                yield Row(path, reader.line_num, tuple(cells), columns, delimiter)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        near = nearest([path.name], sorted(file.name for file in path.parent.glob("*.csv")))
        raise ValueError(f"cannot read {path}: {reason}{near}; set labels.path to the CSV") from error
    except UnicodeError as error:
        raise ValueError(f"{path}: not UTF-8 text; save the table as CSV in UTF-8") from error
    except csv.Error as error:
        raise ValueError(f"{path}: not a CSV ({error}); save the table as CSV in UTF-8") from error


def check_quotes(path: Path, line: int, cells: Sequence[str], delimiter: str) -> None:
    """Refuse a row, read up to `line`, that holds others: a quotation mark, e.g. for "as above", has no partner."""
    if not {"\n", "\r"} & {*"".join(cells)}:
        return
    for place, cell in enumerate(cells):
        _, *later = f"{cell}\0".splitlines()
        if any(text.count(delimiter) >= place for text in later):
            wrong = f"line {line - len(later)}: a quotation mark without a partner joins it with the next lines"
            fix = "delete the mark, or write it twice between two others; rename an image with a line break in its name"
            raise ValueError(f"{path}: {wrong}; {fix}")


def no_match(path: Path, rows: int, names: Names, what: str) -> ValueError:
    """Return the error for a file without any row, or without any row on an image that exists."""
    if not rows:
        return ValueError(f"{path}: no {what} in it; export it again")
    recorded = first_few([repr(name) for name in names.found], 2)
    ids = names.nearest(names.found) or f", which has {first_few(sorted(names.ids or ()), 2)}"
    where = f"{path}: none of the {rows} rows ({recorded}) belongs to an image{ids}"
    return ValueError(f"{where}; check the names of the images and data.root")


def _columns(path: Path, header: list[str], needed: Sequence[str], optional: Sequence[str]) -> dict[str, int]:
    if not any(header):
        raise ValueError(f"{path}: no header; the first line must name {', '.join(needed)}")
    if absent := [name for name in needed if name not in header]:
        near = nearest(absent, header) or f", the header has {first_few(header, 9)}"
        fix = "rename the column" if len(header) > 1 else "save the table with commas between its columns"
        raise ValueError(f"{path}: no column {', '.join(absent)}{near}; {fix}")
    if several := [name for name in (*needed, *optional) if header.count(name) > 1]:
        raise ValueError(f"{path}: several columns {first_few(several)}; keep one of each")
    folded = [name.lower() for name in header]
    found = [folded.index(name) for name in optional if name in folded][:1]
    return {name: header.index(name) for name in needed} | dict(zip(optional, found, strict=False))
