"""Files that are either whole or absent: written under a temporary name beside the final one, then renamed."""

import csv
import hashlib
import io
import json
import os
import re
import socket
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_TEMPORARY = re.compile(r"\.(?P<host>.+)-(?P<process>\d+)-[^-]+\.tmp")  # who writes it, so that rubbish can be told


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write to, which stands at `path` once the block has ended well, and never before.

    Raises:
        ValueError: the folder cannot be made or written, or the disk is full.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        prefix = f".{socket.gethostname()}-{os.getpid()}-"
        handle, temporary = tempfile.mkstemp(prefix=prefix, suffix=".tmp", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            yield file
        os.chmod(temporary, 0o666 & ~_umask())  # noqa: PTH101 (mkstemp made it private)
        os.replace(temporary, path)  # noqa: PTH105
        temporary = None
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` so that `path` never holds a part of it; see `whole_file` for errors."""
    with whole_file(path) as file:
        file.write(data)


def remove_abandoned(folder: Path) -> None:
    """Remove what killed processes of this machine left half-written; files of living ones and other machines stay."""
    for path in folder.glob(".*.tmp"):
        name = _TEMPORARY.fullmatch(path.name)
        if name and name["host"] == socket.gethostname() and not _lives(int(name["process"])):
            path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8; see `write_bytes`."""
    write_bytes(path, text.encode())


def write_json(path: Path, content: object) -> None:
    """Write `content` as indented JSON with sorted keys, so that equal content gives equal bytes."""
    write_text(path, json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table with one header row; see `write_bytes`."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_text(path, text.getvalue())


def make_folder(path: Path) -> Path:
    """Make a folder and its parents, and try that a file can be written there.

    Raises:
        ValueError: it cannot be made or written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise unwritable(path, error) from error
    return path


def unwritable(path: Path, error: OSError) -> ValueError:
    """The line for a file that could not be written."""
    reason = (error.strerror or str(error)).lower()
    return ValueError(f"cannot write {path}: {reason}; free space there or choose another folder")


def sha256(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
