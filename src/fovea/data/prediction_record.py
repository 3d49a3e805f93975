"""The output folder of `fovea-predict`: figures of each prediction, and which files an earlier run wrote."""

import csv
import hashlib
import io
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Self

import numpy as np

from fovea.data.predict_request import FOLDERS, NETWORKS, TABLE, files_below
from fovea.metrics.structures import structures
from fovea.pictures.overlay import color_of
from fovea.runtime.errors import first_few
from fovea.runtime.files import (
    make_folder,
    read_mapping,
    remove_abandoned,
    sha256,
    unwritable,
    write_csv,
    write_json,
    write_text,
)

RECORD, LABELS = "files.csv", "labels.txt"
_FILE = ("file", "input", "sha256", "made_from")
_FIGURES = (
    *("mask", "structure", "input", "label", "pixels", "mm2", "mm3"),
    *("largest_share", "mean_probability", "seconds"),
)
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Planned:
    """A prediction to make: of one image, volume or series."""

    path: Path  # the file or folder that it is of
    files: Sequence[Path]  # all files that it depends on
    outputs: Mapping[str, str]  # the files to write, below the output folder: `mask` and others


class Recorded:
    """Lets a block write files below `out`, and records them in `files.csv` and their figures in `predictions.csv`.

    `settings` is a text that stands for the model and everything else that predictions depend on, `names` are those
    of the classes without the background, and `networks` has the ids of the images that each network was trained on,
    by its hash (None: unknown), for `networks.json`. Files that an earlier run did not write, or that were changed
    since, are never replaced: the ValueError names them.
    """

    def __init__(
        self,
        out: Path,
        planned: Mapping[str, Planned],
        settings: str,
        names: Sequence[str],
        networks: Mapping[str, Sequence[str] | None],
    ) -> None:
        self.out, self.planned, self.settings, self.names, self.networks = out, planned, settings, names, networks
        self.wanted = dict.fromkeys(file for each in planned.values() for file in each.outputs.values())
        self.files, self.figures = _Table(out / RECORD, _FILE, keys=1), _Table(out / TABLE, _FIGURES, keys=2)
        self._made_from: dict[str, str] = {}
        self._stood = 0
        self._started = 0.0

    def __enter__(self) -> Self:
        self.check()
        self.start_files()
        return self

    def __exit__(self, *error: object) -> None:
        self.write()

    def is_done(self, name: str) -> bool:
        """Return whether all files and figures of a prediction stand, of the same input, model and settings."""
        planned = self.planned[name]
        self.start()
        try:
            hashes = "".join(map(sha256, planned.files))
            made_from = hashlib.sha256(f"{self.settings}{hashes}".encode()).hexdigest()
        except OSError:  # the reader will report it
            made_from = "unreadable"
        self._made_from[name] = made_from
        has_figures = all((planned.outputs["mask"], each) in self.figures.rows for each in self.names)
        if has_figures and all(self._stands(file, made_from) for file in planned.outputs.values()):
            self._stood += 1
            return True
        for file in planned.outputs.values():  # first: a run that is killed may replace its own files
            self.files.add([file, str(planned.path), "", ""])
        return False

    def start(self) -> None:
        """Measure the time of the next prediction from here; `is_done` does it too."""
        self._started = perf_counter()

    def add(
        self, name: str, labels: np.ndarray, probability: np.ndarray, pixel_size: float | None, foreground: int = 1
    ) -> None:
        """Record a prediction whose files are written; `foreground` is the value in the mask file for K = 1.

        See `fovea.metrics.structures.structures` for the other arguments.
        """
        planned, seconds = self.planned[name], perf_counter() - self._started
        for label, each in enumerate(structures(labels, probability, pixel_size), start=1):
            value = label if len(probability) > 1 else foreground
            sizes = (each.size, None) if labels.ndim == 2 else (None, each.size)
            numbers = ("" if n is None else f"{n:.6g}" for n in (*sizes, each.largest, each.probability, seconds))
            place = planned.outputs["mask"], self.names[label - 1], str(planned.path)
            self.figures.add([*place, str(value), str(each.pixels), *numbers])
        for file in planned.outputs.values():
            self.files.add([file, str(planned.path), sha256(self.out / file), self._made_from.get(name, "")])

    def _stands(self, file: str, made_from: str) -> bool:
        row = self.files.rows.get((file,), ["", "", "", ""])
        return row[3] == made_from and (self.out / file).is_file() and row[2] == sha256(self.out / file)

    def check(self) -> None:
        """Refuse a folder with files that an earlier run did not write, or with changed ones that would be replaced."""
        known = self.files.rows
        present = [path for name in FOLDERS if (self.out / name).is_dir() for path in files_below(self.out / name)]
        present += [path for path in (self.out / TABLE, self.out / LABELS) if path.exists()]
        foreign = [path for path in present if (path.relative_to(self.out).as_posix(),) not in known]
        changed = [
            self.out / file
            for file in (TABLE, LABELS, *self.wanted)
            if (file,) in known and self._is_changed(known[file,])
        ]
        if foreign or changed:
            few, fix = first_few([*foreign, *changed], 2), "choose another folder, so that nothing of yours is replaced"
            raise ValueError(f"out: not written by fovea-predict, or changed since: {few}; {fix}")

    def _is_changed(self, row: Sequence[str]) -> bool:
        """Return whether a file was changed after it was recorded; it has no hash if its run was killed."""
        file, digest = self.out / row[0], row[2]
        return digest != "" and file.exists() and sha256(file) != digest

    def _outdated(self) -> list[str]:
        """Return other files of these inputs: under another name, by an earlier model, or with other settings."""
        made_from: dict[str, set[str]] = {}
        for name, digest in self._made_from.items():
            made_from.setdefault(str(self.planned[name].path), set()).add(digest)
        others = [row for row in self.files.rows.values() if row[0] not in self.wanted and row[1] in made_from]
        # A name has a suffix while another image differs only in it, so an image may have had another name.
        renamed = {row[1] for row in others if row[0].startswith("masks/")}
        return [
            row[0]
            for row in others
            if (row[1] in renamed or row[3] not in made_from[row[1]]) and not self._is_changed(row)
        ]

    def start_files(self) -> None:
        """Clean up after killed runs, and write the tables as they are and what ITK-SNAP reads of several classes."""
        make_folder(self.out)
        for folder in {(self.out / file).parent for file in (TABLE, *self.wanted)}:
            remove_abandoned(folder)
        for name in (TABLE, LABELS):
            self.files.rows[name,] = [name, "", "", ""]
        self.files.write()
        self.figures.write()
        write_json(self.out / NETWORKS, {**read_mapping(self.out / NETWORKS), **self.networks})
        if len(self.names) > 1:
            lines = ['0 0 0 0 0 0 0 "background"']
            for number, name in enumerate(self.names, start=1):
                color = " ".join(map(str, color_of(number)))
                lines.append(f"{number} {color} 1 1 1 {json.dumps(name, ensure_ascii=False)}")
            write_text(self.out / LABELS, "".join(f"{line}\n" for line in lines))

    def write(self) -> None:
        """Sort both tables, remove earlier files of predictions that failed, and leave out what is not there."""
        if self._stood:
            log.info("%d of %d predictions were already there", self._stood, len(self.planned))
        self.files.merge()
        self.figures.merge()
        files, figures = self.files.rows, self.figures.rows
        for file in (file for file in self.wanted if files.get((file,), [""] * 3)[2:] == ["", ""]):
            (self.out / file).unlink(missing_ok=True)
        for file in self._outdated():
            (self.out / file).unlink(missing_ok=True)
        for key in [key for key in files if not (self.out / key[0]).is_file()]:
            del files[key]
        masks = {planned.outputs["mask"] for planned in self.planned.values()}
        for mask, name in [*figures]:
            if (mask,) not in files or (mask in masks and name not in self.names):  # of a model with other classes
                del figures[mask, name]
        self.figures.write()
        for row in files.values():
            row[2] = sha256(self.out / row[0]) if row[0] in (TABLE, LABELS) or not row[2] else row[2]
        self.files.write()
        ended = self._made_from.keys() == self.planned.keys()
        if ended and all(file in (*self.wanted, TABLE, LABELS) for (file,) in files):  # no earlier network's are left
            write_json(self.out / NETWORKS, self.networks)


class _Table:
    """A CSV file whose rows are appended one by one, so that those of a killed run are kept; it may exist.

    A row replaces an earlier one with the same text in the first `keys` columns.
    """

    def __init__(self, path: Path, header: Sequence[str], keys: int) -> None:
        self.path, self.header, self.keys = path, header, keys
        self.rows = self._read()

    def _read(self) -> dict[tuple[str, ...], list[str]]:
        if not self.path.exists():
            return {}
        try:
            text = self.path.read_bytes().decode(errors="replace")  # a killed run may end within a character
            first, *rows = csv.reader(io.StringIO(text, newline=""))
        except (OSError, ValueError, csv.Error):
            text, first, rows = "", [], []
        if rows and (not text.endswith("\n") or len(rows[-1]) < len(self.header)):
            rows.pop()  # of a killed run
        if first != list(self.header) or any(len(row) != len(self.header) for row in rows):
            raise ValueError(f"out: {self.path} is not a file of fovea-predict; choose another folder")
        return {tuple(row[: self.keys]): row for row in rows}

    def merge(self) -> None:
        """Add rows that another process has written in the meantime, e.g. of another part of the images."""
        self.rows = {**self._read(), **self.rows}

    def add(self, row: list[str]) -> None:
        """Append a row to the file."""
        self.rows[tuple(row[: self.keys])] = row
        try:
            with self.path.open("a", encoding="utf-8", newline="") as file:
                csv.writer(file, lineterminator="\n").writerow(row)
        except OSError as error:
            raise unwritable(self.path, error) from error

    def write(self) -> None:
        """Write all rows, sorted by file."""
        rows = sorted(self.rows.items(), key=lambda item: item[0][0])  # the classes of a file keep their order
        write_csv(self.path, self.header, [row for _, row in rows])
