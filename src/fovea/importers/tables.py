"""Tables that other people's programs export: encodings, delimiters, decimal commas and headers with units."""

import csv
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fovea.runtime.errors import first_few

_BOMS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}
_UNIT = re.compile(r"\s*[\[(]([^\])]*)[\])]\s*$")
_LOST = frozenset({"", ".", "-", "nan", "NaN", "NA", "N/A"})


@dataclass(frozen=True)
class Table:
    """A delimited text file as columns of text.

    Attributes:
        path: the file.
        header: names of the columns.
        rows: cells, each row as long as the header.
        lines: the line of the file that a row stands on.
        delimiter: a comma, a semicolon or a tab; with the latter two a number may have a decimal comma.
    """

    path: Path
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    lines: Sequence[int]
    delimiter: str

    def __len__(self) -> int:
        return len(self.rows)

    def find(self, name: str, units: Sequence[str] = ()) -> str | None:
        """The column of that name, alone or with one of `units` in brackets: `Gaze point X [px]`; None without it."""
        if name in self.header:
            return name
        for unit in units:
            for column in self.header:
                if unit_of(column).casefold() == unit.casefold() and _UNIT.sub("", column) == name:
                    return column
        return None

    def texts(self, column: str) -> list[str]:
        """The cells of a column.

        Raises:
            ValueError: there is no such column.
        """
        if column not in self.header:
            raise ValueError(f"{self.path}: no column {column}; the header names {first_few(self.header, 9)}")
        place = list(self.header).index(column)
        return [row[place].strip() for row in self.rows]

    def where(self, kept: Sequence[bool]) -> "Table":
        """The table without the rows that are not kept."""
        places = [place for place, keep in enumerate(kept) if keep]
        return replace(self, rows=[self.rows[at] for at in places], lines=[self.lines[at] for at in places])

    def numbers(self, column: str | None) -> np.ndarray:
        """The numbers of a column, float64 [N], NaN where one was lost and everywhere without a column.

        Raises:
            ValueError: there is no such column, or a cell holds text.
        """
        if column is None:
            return np.full(len(self), math.nan)
        return np.array([self._number(place, column, cell) for place, cell in enumerate(self.texts(column))], float)

    def _number(self, place: int, column: str, cell: str) -> float:
        if cell in _LOST:
            return math.nan
        try:
            return float(cell if self.delimiter == "," else cell.replace(",", "."))
        except ValueError as error:
            raise ValueError(
                f"{self.path}: line {self.lines[place]}, column {column}: {cell[:40]!r} is no number; "
                "mend the line, or name another column"
            ) from error


def unit_of(column: str) -> str:
    """The unit in brackets behind a column's name, µ as u; empty without one."""
    found = _UNIT.search(column)
    return found[1].replace("µ", "u").replace("μ", "u").strip() if found else ""


def read_table(path: Path, delimiter: str | None = None) -> Table:
    """Read a delimited text file in UTF-8 or UTF-16.

    Args:
        path: the file.
        delimiter: between cells; by default that of tab, semicolon and comma which the header has most of.

    Raises:
        ValueError: it cannot be read, is no text, has no row, or a row is shorter than the header.
    """
    text = _text(path)
    first = text.partition("\n")[0]
    delimiter = delimiter or max("\t;,", key=first.count)
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        header = [name.strip() for name in next(reader, [])]
        rows, lines = [], []
        for cells in reader:
            if not any(cells):
                continue
            if len(cells) < len(header):
                wrong = f"line {reader.line_num} has {len(cells)} cells, the header {len(header)}"
                raise ValueError(f"{path}: {wrong}; complete or delete it")
            rows.append(cells)
            lines.append(reader.line_num)
    except (csv.Error, TypeError) as error:
        raise ValueError(f"{path}: no table ({error}); export it again as CSV or TSV") from error
    if not rows:
        raise ValueError(f"{path}: no row below the header; export it again")
    return Table(path, header, rows, lines, delimiter)


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"cannot read {path}: {(error.strerror or str(error)).lower()}; check its rights") from error
    encoding = next((name for start, name in _BOMS.items() if data.startswith(start)), "utf-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not {encoding.upper()} text; export it again in UTF-8") from error


def runs(*columns: Sequence[object]) -> list[slice]:
    """Stretches of rows in which no column changes, in order."""
    edges = [0]
    keys = list(zip(*columns, strict=True))
    edges += [place for place in range(1, len(keys)) if keys[place] != keys[place - 1]]
    return [slice(first, last) for first, last in zip(edges, [*edges[1:], len(keys)], strict=True)] if keys else []
