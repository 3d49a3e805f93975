"""Samples decoded and resized once: what decides the speed of small images, and of volumes, is their files."""

import hashlib
import inspect
import json
import logging
import math
import mmap
import multiprocessing
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from tqdm import tqdm

from fovea.runtime.files import make_folder, remove_abandoned, sha256, whole_file
from fovea.runtime.record import versions

_DECODERS = ("monai", "nibabel", "numpy", "opencv-python-headless", "pillow", "pydicom", "torch")
_CHUNK = 64  # samples that are in memory at once while a file is built
log = logging.getLogger(__name__)


class Source(Protocol):
    """Arrays that a cache can keep, by kind and index."""

    kinds: tuple[str, ...]
    ids: list[str]

    def read(self, kind: str, index: int) -> np.ndarray:
        """An array, made anew from its files."""

    def layout(self, kind: str) -> tuple[list[tuple[int, ...]], np.dtype]:
        """The shape of each array of a kind, and the type of all."""

    def made_of(self, kind: str) -> dict[str, Any]:
        """What decides the arrays of a kind: `files`, `root`, the `code` that reads them, and values."""


class Memory:
    """Keeps arrays in memory, each from when it is first read; forked workers share them with one another.

    Where workers are not forked, each keeps its own.

    Args:
        source: What to keep.
        limit: GiB; a source that would need more is not kept, and the log says so.
    """

    def __init__(self, source: Source, limit: float) -> None:
        self.source, self.limit = source, limit
        layouts = {kind: source.layout(kind) for kind in source.kinds}
        needed = sum(_length(shapes) * dtype.itemsize for shapes, dtype in layouts.values()) / 2**30
        if needed > limit:
            log.warning(
                "the training samples need %.1f GiB of memory, more than data.cache.limit=%g: "
                "they are decoded anew each time (cache=disk keeps them on disk)",
                needed,
                limit,
            )
            layouts = {}
        self.values = {
            kind: _parts(_shared(_length(shapes), dtype), shapes) for kind, (shapes, dtype) in layouts.items()
        }
        self.known = {kind: _shared(len(source.ids), np.dtype(bool)) for kind in layouts}
        self.lock = multiprocessing.Lock()  # the barrier without which a flag might be seen before its array
        self.seen = {kind: np.zeros(len(source.ids), bool) for kind in layouts}  # that this process need not ask for

    def __reduce__(self) -> tuple[Any, ...]:
        return Memory, (self.source, self.limit)

    def read(self, kind: str, index: int) -> np.ndarray:
        """See `fovea.data.images.samples.Arrays`."""
        if not self.values:
            return self.source.read(kind, index)
        if not self.seen[kind][index]:
            with self.lock:
                self.seen[kind][index] = self.known[kind][index]
        kept = self.values[kind][index]
        if self.seen[kind][index]:
            return kept.copy()  # transforms may write to what they are given
        array = self.source.read(kind, index)
        kept[...] = _alike(array, kept.shape, kept.dtype, self.source, index)
        with self.lock:
            self.known[kind][index] = True
        return array


class Files:
    """Keeps arrays in files, built before the first is read, which all workers and all jobs map into memory.

    A file is named after everything that decides its content, so that another image, map, size, library or data set
    class makes another file. It is whole or absent; jobs that build the same one at once do not disturb one another.

    Args:
        source: What to keep.
        folder: Where; it can be removed whenever no job is starting.
        threads: That decode while a file is built.

    Raises:
        ValueError: the folder cannot be written, the disk is full, or a file of the data set is damaged.
    """

    def __init__(self, source: Source, folder: str, threads: int) -> None:
        if threads < 1:
            raise ValueError(f"data.cache.threads={threads} is not possible; give a whole number from 1 on")
        self.source, self.folder, self.threads = source, folder, threads
        place = Path(folder).expanduser()
        self.paths = {kind: _file(source, kind, place, threads) for kind in source.kinds}
        self.values = {
            kind: _parts(np.load(path, mmap_mode="r", allow_pickle=False), source.layout(kind)[0])
            for kind, path in self.paths.items()
        }

    def __reduce__(self) -> tuple[Any, ...]:
        return Files, (self.source, self.folder, self.threads)  # another process maps them itself

    def read(self, kind: str, index: int) -> np.ndarray:
        """See `fovea.data.images.samples.Arrays`."""
        return np.array(self.values[kind][index])


def fingerprint(source: Source, kind: str) -> str:
    """A hash of everything that decides the arrays of a kind: values, files, and the code that reads them."""
    made_of = dict(source.made_of(kind))
    content = made_of | {
        "kind": kind,
        "ids": source.ids,
        "files": [_state(path) for path in made_of["files"]],
        "code": [sha256(path) for path in _code(made_of["code"])],
        "versions": versions(_DECODERS),
    }
    return hashlib.sha256(json.dumps(content, default=str, sort_keys=True).encode()).hexdigest()


def _state(path: Path) -> tuple[str, int, int]:
    try:
        status = path.stat()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ValueError(f"cannot read {path}: {reason}; restore the file or its permissions") from error
    return str(path.resolve()), status.st_size, status.st_mtime_ns


def _code(parts: Iterable[type | ModuleType]) -> list[Path]:
    """The source files of modules, of classes and of their bases: a class of data is the user's to change."""
    bases = [base for part in parts for base in (part.__mro__ if isinstance(part, type) else [part])]
    written = {inspect.getmodule(base) for base in bases}
    files = [getattr(module, "__file__", None) for module in written]  # built-in ones have none
    return sorted({Path(file) for file in files if file is not None})


def _file(source: Source, kind: str, folder: Path, threads: int) -> Path:
    """The file of a kind, its arrays one behind the other, built where there is none that can be used."""
    root = Path(source.made_of(kind)["root"]).name
    path = folder / f"{root}-{kind.replace(' ', '-')}-{fingerprint(source, kind)[:32]}.npy"
    shapes, dtype = source.layout(kind)
    if not _usable(path, _length(shapes), dtype):
        make_folder(folder)
        remove_abandoned(folder)
        with whole_file(path) as file:
            descr = np.lib.format.dtype_to_descr(dtype)
            header = {"descr": descr, "fortran_order": False, "shape": (_length(shapes),)}
            np.lib.format.write_array_header_1_0(file, header)
            for index, array in enumerate(_decoded(source, kind, threads)):
                file.write(np.ascontiguousarray(_alike(array, shapes[index], dtype, source, index)).data)
        log.info("%s of %d samples in %s (%.0f MB)", kind, len(shapes), path, path.stat().st_size / 1e6)
    return path


def _usable(path: Path, length: int, dtype: np.dtype) -> bool:
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):  # absent or damaged
        return False
    return found.shape == (length,) and found.dtype == dtype


def _decoded(source: Source, kind: str, threads: int) -> Iterator[np.ndarray]:
    """All arrays of a kind in order; the decoders of images run without Python's lock."""
    count = len(source.ids)
    with (
        tqdm(total=count, desc=f"cache {kind}", unit="image") as progress,
        ThreadPoolExecutor(threads) as pool,
    ):
        for start in range(0, count, _CHUNK):
            chunk = range(start, min(start + _CHUNK, count))
            for array in pool.map(lambda index: source.read(kind, index), chunk):
                yield array
                progress.update()


def _length(shapes: Sequence[tuple[int, ...]]) -> int:
    """Elements of all arrays together."""
    return sum(math.prod(shape) for shape in shapes)


def _parts(flat: np.ndarray, shapes: Sequence[tuple[int, ...]]) -> list[np.ndarray]:
    """Views of the arrays that lie one behind the other in a flat one."""
    ends = list(accumulate(map(math.prod, shapes)))
    return [flat[end - math.prod(shape) : end].reshape(shape) for shape, end in zip(shapes, ends, strict=True)]


def _shared(length: int, dtype: np.dtype) -> np.ndarray:
    """Zeros that forked processes write to and read from together; unlike /dev/shm, of no fixed size."""
    return np.ndarray((length,), dtype, mmap.mmap(-1, max(1, length * dtype.itemsize)))


def _alike(array: np.ndarray, shape: Sequence[int], dtype: np.dtype, source: Source, index: int) -> np.ndarray:
    """The array, if it is of the shape and type that it was said to have."""
    if array.shape != tuple(shape) or array.dtype != dtype:
        raise ValueError(
            f"{source.ids[index]}: {array.dtype} {list(array.shape)} after resizing, but {dtype} {list(shape)} was "
            "expected; the cache needs one kind (cache=none)"
        )
    return array
