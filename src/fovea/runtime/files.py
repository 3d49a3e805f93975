"""Write files completely or not at all: under a temporary name beside the final one, then renamed."""

import csv
import errno
import hashlib
import io
import json
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from secrets import token_hex
from typing import Any, BinaryIO

_TEMPORARY = re.compile(r"\.(?P<host>.+)-(?P<process>\d+)-[^-]+\.tmp")  # names the writer, to recognize abandoned files


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file that appears at `path` only when the block has ended without an error; a ValueError if that fails."""
    temporary = path.parent / f".{socket.gethostname()}-{os.getpid()}-{token_hex(4)}.tmp"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            yield file
        temporary.replace(path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        if temporary.exists():
            temporary.unlink()


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Make a folder that replaces `path` only when the block has ended without an error; a ValueError if that fails."""
    new, old = (path.parent / f".{socket.gethostname()}-{os.getpid()}-{token_hex(4)}.tmp" for _ in range(2))
    try:
        new.mkdir(parents=True)
        yield new
        if path.exists():
            path.rename(old)
        new.rename(path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        if old.exists() and not path.exists():  # interrupted between the two
            old.rename(path)
        for folder in (new, old):
            shutil.rmtree(folder, ignore_errors=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path`; `path` never holds a part of it."""
    with whole_file(path) as file:
        file.write(data)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8."""
    write_bytes(path, text.encode())


def write_json(path: Path, content: object) -> None:
    """Write `content` as indented JSON with sorted keys, so that equal content gives equal bytes."""
    write_text(path, json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]], about: Path | None = None) -> None:
    """Write a table with one header row; first announce it in the JSON `about`, if given."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    if about is not None:
        announce(about, hashlib.sha256(text.getvalue().encode()).hexdigest())
    write_text(path, text.getvalue())


def remove_abandoned(folder: Path) -> None:
    """Remove the temporary files of killed processes of this machine; others may still be in use.

    A folder stays: it may be the only copy of what `whole_folder` was about to replace.
    """
    for path in folder.glob(".*.tmp"):
        name = _TEMPORARY.fullmatch(path.name)
        if name and path.is_file() and name["host"] == socket.gethostname() and not _is_alive(int(name["process"])):
            path.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def make_folder(path: Path) -> Path:
    """Make a folder and its parents; a ValueError if that fails, or no file can be written there."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise unwritable(path, error) from error
    return path


def unwritable(path: Path, error: OSError) -> ValueError:
    """Return the error for a file that cannot be written."""
    reason = (error.strerror or str(error)).lower()
    full = "free space there or " if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
    return ValueError(f"cannot write {path}: {reason}; {full}choose another folder")


def put_aside(path: Path) -> None:
    """Rename a file or folder of an earlier run, if there is one: `metrics.csv` to `metrics.1.csv`, …"""
    if path.exists():
        names = (path.with_name(f"{path.stem}.{number}{path.suffix}") for number in count(1))
        path.rename(next(name for name in names if not name.exists()))


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal; of a folder, that of the names and hashes of its visible files."""
    if path.is_dir():
        names = sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
        names = [name for name in names if "/." not in f"/{name}"]  # a hidden folder hides its files
        return hashlib.sha256("".join(f"{name}\0{sha256(path / name)}\n" for name in names).encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_mapping(path: Path) -> dict[str, Any]:
    """Return the content of a JSON file that a command of ours wrote; nothing if it is missing or damaged."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def refuse_foreign(out: Path, names: Sequence[str], record: str, keys: Sequence[str]) -> None:
    """Refuse to replace files in the folder `out`, unless `record`, JSON of the same command there, has these keys.

    What a call left that was killed before it wrote its record is refused, too.
    """
    present = [name for name in names if (out / name).exists()]
    if present and not {*keys} <= read_mapping(out / record).keys():
        whose = "which is not of a finished call of this command"
        raise ValueError(f"out: {out} has {present[0]}, {whose}; remove it, or set another out")


def announce(about: Path, digest: str) -> None:
    """Add the hash of what is written next to `about`, which then describes it also if a signal comes in between."""
    write_json(about, read_mapping(about) | {"next": digest})


def describes(about: Path, path: Path) -> bool:
    """Return whether `about`, JSON that a command of ours wrote, has the `sha256` of the file or folder `path`."""
    known = read_mapping(about)
    return path.exists() and sha256(path) in (known.get("sha256"), known.get("next"))
