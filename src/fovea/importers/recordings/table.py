"""Read tables of other programs, text or Excel: encodings, preambles, decimal commas, units in the header."""

import csv
import io
import math
import re
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path

import numpy as np

from fovea.data.table import TWO_WAYS, check_quotes
from fovea.runtime.errors import first_few

_BOMS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}
_UNIT = re.compile(r"\s*[\[(]([^\])]*)[\])]\s*$")
_PLAIN = re.compile(r"[1-9]\d*(\.\d+)?")
LOST = frozenset({"", ".", "-", "nan", "NaN", "NA", "N/A"})
_PREAMBLE = 200  # lines in which the header is searched

Alternatives = Sequence[str] | str | None  # of the name of a column, or of a pattern of its cells


@dataclass(frozen=True)
class Table:
    """A delimited text file as columns of text."""

    path: Path
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    lines: Sequence[int]  # number of each row in the file
    delimiter: str  # with a semicolon or a tab a number may have a decimal comma
    preamble: Mapping[str, str]  # of `name: value` lines above the header; each can be read as a constant column

    def __len__(self) -> int:
        return len(self.rows)

    def find(self, names: Alternatives, units: Collection[str] | None = None) -> str | None:
        """Return the first column with one of the names, alone or with a unit in brackets (`Gaze point X [px]`).

        Of names and of accepted units ("" for none; None accepts all), the preferred are first.
        """
        for name in listed(names):
            if name in self.header or name in self.preamble:
                return name
            same = [column for column in self.header if _UNIT.sub("", column).casefold() == name.casefold()]
            for unit in map(unit_of, same) if units is None else units:
                for column in same:
                    if unit_of(column).casefold() == unit.casefold():
                        return column
        return None

    def need(self, names: Alternatives, fix: str) -> str:
        """Return the column like `find`; refuse a table without it, with a message that ends with `fix`."""
        if (column := self.find(names)) is not None:
            return column
        near = [name for wanted in listed(names) for name in get_close_matches(wanted, self.header, 2, 0.5)]
        header = f"the nearest are {first_few(dict.fromkeys(near))}" if near else f"it has {first_few(self.header, 9)}"
        raise ValueError(f"{self.path}: no column {' or '.join(listed(names))}; {header}; {fix}")

    def lacks(self, named: Mapping[str, Alternatives]) -> str:
        """Return a note about the keys of `format` whose one name is no column here; a list may have no such name."""
        one = {key: name for key, name in named.items() if isinstance(name, str)}
        lost = [f"format.{key}={name}" for key, name in one.items() if self.find(name) is None]
        return f"have no such column as {first_few(lost)}" if lost else ""

    def texts(self, column: str) -> list[str]:
        """Return the cells of a column; empty texts where a row is too short."""
        if column not in self.header:
            return [self.preamble[column]] * len(self)
        if self.header.count(column) > 1:
            raise ValueError(f"{self.path}: {self.header.count(column)} columns are named {column}; rename one")
        place = self.header.index(column)
        return [row[place].strip() if place < len(row) else "" for row in self.rows]

    def numbers(self, column: str | None) -> np.ndarray:
        """Return the numbers of a column, float64 [N]; NaN where one is missing, and everywhere without a column."""
        if column is None:
            return np.full(len(self), math.nan)
        cells = self.texts(column)
        commas = [cell for cell in cells if "," in cell]
        others = any(map(_PLAIN.fullmatch, cells))  # none of these in a column with three decimals in each row
        if self.delimiter == "\t" and commas and others and all(map(TWO_WAYS.fullmatch, commas)):
            wrong = f"column {column}: {commas[0]!r} has a decimal comma or thousands"
            raise ValueError(f"{self.path}: {wrong}; export it with decimal points and without thousands")
        return np.array([self._number(place, column, cell) for place, cell in enumerate(cells)], float)

    def matching(self, column: str, patterns: Alternatives) -> np.ndarray | None:
        """Return the rows with the first pattern that any row matches, bool [N]; None without such a column."""
        if (name := self.find(column)) is None:
            return None
        cells = self.texts(name)
        masks = (np.array([bool(re.fullmatch(pattern, cell)) for cell in cells], bool) for pattern in listed(patterns))
        return next((mask for mask in masks if mask.any()), np.zeros(len(cells), bool))

    def unmatched(self, column: str, key: str) -> ValueError:
        """Return the error of a key of `format` whose patterns match no cell of a column."""
        cells = first_few(dict.fromkeys(self.texts(str(self.find(column)))))
        return ValueError(f"{self.path}: no row matches format.{key}; the column has {cells}")

    def take(self, places: Sequence[int]) -> "Table":
        """Return the table with the rows at `places`, in this order."""
        return replace(self, rows=[self.rows[place] for place in places], lines=[self.lines[place] for place in places])

    def check_lengths(self) -> None:
        """Refuse rows that are shorter or longer than the header, e.g. by decimal commas between commas."""
        for row, line in zip(self.rows, self.lines, strict=True):
            if len(row) < len(self.header) or any(row[len(self.header) :]):
                wrong = f"line {line} has {len(row)} cells, but the header has {len(self.header)}"
                raise ValueError(f"{self.path}: {wrong}; correct the line, or export with another delimiter")

    def _number(self, place: int, column: str, cell: str) -> float:
        if cell in LOST:
            return math.nan
        try:
            if math.isinf(number := float(cell if self.delimiter == "," else cell.replace(",", "."))):
                raise ValueError(cell)
            return number
        except ValueError:
            where = f"{self.path}: line {self.lines[place]}, column {column}"
            fix = "correct the line, or set another column"
            raise ValueError(f"{where}: {cell[:40]!r} is not a number; {fix}") from None


def listed(names: Alternatives) -> list[str]:
    """Return alternatives as a list."""
    return [] if names is None else [names] if isinstance(names, str) else [*names]


def unit_of(column: str) -> str:
    """Return the unit in brackets after a column's name, with µ as u and without spaces; empty without one."""
    found = _UNIT.search(column)
    return "".join(found[1].replace("µ", "u").replace("μ", "u").split()) if found else ""


def read_table(path: Path, delimiter: str | None, needed: Alternatives) -> Table:
    """Read a delimited text file in UTF-8, UTF-16 or Windows-1252, or an Excel file.

    The header is the first line that has one of the names of a `needed` column, else the first line. By default cells
    are delimited by the most frequent of tab, semicolon and comma in the header.

    A ValueError if the file cannot be read, is not text, or has neither rows nor such a header.
    """
    texts = _sheets(path) or [read_text(path)]
    for text in texts:  # the first with such a header, else the first
        lines = io.StringIO(text, newline=None).readlines()
        headers = (_split(line, delimiter or max("\t;,", key=line.count)) for line in lines[:_PREAMBLE])
        number = next((n for n, cells in enumerate(headers) if Table(path, cells, [], [], "", {}).find(needed)), None)
        if number is not None:
            break
    else:
        lines, number = io.StringIO(texts[0], newline=None).readlines(), 0
    header_line = lines[number] if lines else ""
    delimiter = delimiter or max("\t;,", key=header_line.count)
    preamble = [line.strip("#[] \t\r\n").partition(":") for line in lines[:number]]
    rows, numbers = [], []
    try:
        reader = csv.reader(io.StringIO("".join(lines[number + 1 :]), newline=""), delimiter=delimiter)
        for cells in reader:
            if any(cells):
                check_quotes(path, number + 1 + reader.line_num, cells, delimiter)
                rows.append(cells)
                numbers.append(number + 1 + reader.line_num)
    except (csv.Error, TypeError) as error:
        raise ValueError(f"{path}: not a table ({error}); export it again as CSV or TSV") from error
    values = {name.strip(): value.strip() for name, _, value in preamble if value.strip()}
    table = Table(path, _split(header_line, delimiter), rows, numbers, delimiter, values)
    if not rows and not table.find(needed):
        raise ValueError(f"{path}: no row below the header; export it again")
    return table


def _split(line: str, delimiter: str) -> list[str]:
    try:
        return [name.strip() for name in next(csv.reader([line], delimiter=delimiter), [])]
    except (csv.Error, TypeError):
        return []


def _sheets(path: Path) -> list[str]:
    """Return the sheets of an Excel file as text between tabs; none of another file."""
    if not (data := _bytes(path)).startswith(b"PK"):
        return []
    import openpyxl

    sheets = []
    try:
        with warnings.catch_warnings(action="ignore"):  # about styles
            for sheet in openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True).worksheets:
                csv.writer(text := io.StringIO(), delimiter="\t").writerows(sheet.iter_rows(values_only=True))
                sheets.append(text.getvalue())
    except Exception as error:  # openpyxl raises anything for damaged files
        reason = " ".join(str(error).split())[:80] or type(error).__name__
        raise ValueError(f"{path}: not an Excel file, or damaged ({reason}); save the sheet as CSV") from error
    return sheets


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ValueError(f"{path}: cannot be read ({reason}); check its permissions") from error


def read_text(path: Path) -> str:
    """Return the text of a file in UTF-8, UTF-16 (with its mark) or Windows-1252; refuse what is not text."""
    data = _bytes(path)
    encoding = next((name for mark, name in _BOMS.items() if data.startswith(mark)), "")
    if not encoding and b"\0" in data:
        raise ValueError(f"{path}: binary data, not text; export it as text")
    for codec in [encoding] if encoding else ["utf-8", "cp1252", "latin-1"]:
        try:
            return data.decode(codec)
        except UnicodeDecodeError:
            continue
    raise ValueError(f"{path}: not {encoding.upper()} text; export it again in UTF-8")


def runs(*columns: Sequence[object]) -> list[slice]:
    """Return the longest stretches of rows in which no column changes, in order."""
    keys = list(zip(*columns, strict=True))
    edges = [place for place in range(len(keys) + 1) if place in (0, len(keys)) or keys[place] != keys[place - 1]]
    return [slice(first, last) for first, last in pairwise(edges)]
