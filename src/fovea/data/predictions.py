"""What `fovea-predict` reads and writes: files below `input`, and an output folder that keeps foreign files."""

import csv
import io
import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from fovea.data.images.files import check_name
from fovea.runtime.errors import first_few
from fovea.runtime.files import make_folder, sha256, write_csv

RECORD = "predictions.csv"
FOLDERS = ("masks", "overlays")
_HEADER = ["file", "input", "sha256"]
log = logging.getLogger(__name__)


def files_below(source: Path) -> list[Path]:
    """Return a file itself, or all files below a folder, sorted; hidden ones do not count.

    Linked folders are not opened: they are returned like files, so that they are reported as left aside.

    Raises:
        ValueError: there is no such file or folder, a folder below cannot be read, or a name is not UTF-8.
    """
    if source.is_file():
        return [source]
    found: list[Path] = []
    for folder, folders, files in os.walk(source, onerror=_refuse_folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        linked = [name for name in folders if Path(folder, name).is_symlink()]
        found += [Path(folder, name) for name in [*files, *linked] if not name.startswith(".")]
    for path in found:
        check_name(path)
    return sorted(found)


def below(source: Path, path: Path) -> str:
    """Return the path of a file below a folder, or below the folder of the file `source`."""
    return path.relative_to(source if source.is_dir() else source.parent).as_posix()


def named(source: Path, paths: Iterable[Path]) -> dict[str, Path]:
    """Name files after their path below `source` without the suffix, or with it where two would share a name."""
    whole = {path: below(source, path) for path in paths}
    stems = {path: name.removesuffix(path.suffix) for path, name in whole.items()}
    taken = Counter(name.casefold() for path in whole for name in {whole[path], stems[path]})
    names = {stems[path] if taken[stems[path].casefold()] == 1 else whole[path]: path for path in whole}
    if longer := [name for name, path in names.items() if name != stems[path]]:
        log.warning("%d files share a name but for the suffix, which their outputs keep: %s", len(longer), longer[:5])
    return names


def report_left_aside(source: Path, paths: Iterable[Path], wanted: str) -> None:
    """Log the files below `source` that are not read."""
    if names := [below(source, path) for path in paths]:
        suffixes = first_few(sorted({Path(name).suffix or "no suffix" for name in names}))
        log.warning("left aside: %d files (%s), not %s: %s", len(names), suffixes, wanted, first_few(names))


def refuse_overlap(source: Path, out: Path) -> None:
    """Refuse an output folder that would write into the input."""
    source, out = source.resolve(), out.resolve()
    inner = [out, *(out / name for name in FOLDERS)]
    if any(source in (path, *path.parents) for path in inner) or any(path in source.parents for path in inner[1:]):
        raise ValueError(f"out: {out} would write into the input {source}; choose a folder outside of it")


@contextmanager
def recorded(out: Path, inputs: Mapping[str, Path]) -> Iterator[None]:
    """Let a block write files below `out`, and record them in `predictions.csv` with their SHA-256.

    Args:
        out: The folder.
        inputs: What each file is made from, by its path below `out`.

    Raises:
        ValueError: `masks` or `overlays` has a file that an earlier run did not write, or one of the files to write was
            changed since.
    """
    record = out / RECORD
    known = _read(record)
    present = [path for name in FOLDERS if (out / name).is_dir() for path in files_below(out / name)]
    foreign = [path for path in present if path.relative_to(out).as_posix() not in known]
    changed = [out / name for name in inputs if name in known and _is_changed(out, known[name])]
    if foreign or changed:
        raise ValueError(
            f"out: not written by fovea-predict, or changed since: {first_few([*foreign, *changed], 2)}; "
            "choose another folder, so that nothing of yours is replaced"
        )
    make_folder(out)
    rows = known | {name: [name, str(path), ""] for name, path in inputs.items()}
    _write(record, rows)  # first: a run that is killed may replace its own files
    try:
        yield
    finally:
        hashes = {name: sha256(out / name) for name in inputs if (out / name).is_file()}
        _write(record, {n: [*row[:2], hashes.get(n, row[2])] for n, row in rows.items() if (out / n).is_file()})


def _is_changed(out: Path, row: list[str]) -> bool:
    """Return whether a file was changed after it was recorded; a row without a hash is from a run that was killed."""
    return row[2] != "" and (out / row[0]).exists() and sha256(out / row[0]) != row[2]


def _read(record: Path) -> dict[str, list[str]]:
    """Return the rows of an earlier run by file."""
    if not record.exists():
        return {}
    try:
        header, *rows = csv.reader(io.StringIO(record.read_bytes().decode(), newline=""))
    except (OSError, ValueError, csv.Error):
        header, rows = [], []
    if header != _HEADER or any(len(row) != len(_HEADER) for row in rows):
        raise ValueError(f"out: {record} is not a file of fovea-predict; choose another folder")
    return {row[0]: row for row in rows}


def _write(record: Path, rows: Mapping[str, list[str]]) -> None:
    write_csv(record, _HEADER, [rows[name] for name in sorted(rows)])


def _refuse_folder(error: OSError) -> None:
    raise ValueError(f"input: cannot read {error.filename}: {(error.strerror or str(error)).lower()}") from error
