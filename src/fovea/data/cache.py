"""Cache of decoded, resized samples; decoding dominates loading time."""

import hashlib
import inspect
import json
import logging
import math
import mmap
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from tqdm import tqdm

from fovea.runtime.bounds import Count, Positive
from fovea.runtime.files import make_folder, remove_abandoned, sha256, whole_file
from fovea.runtime.record import versions

_DECODERS = ("monai", "nibabel", "numpy", "opencv-python-headless", "pillow", "pydicom", "scipy", "torch")
_OURS = Path(__file__).parent  # all code that reads files
_CHUNK = 64  # samples that are in memory at once while a file is built
log = logging.getLogger(__name__)


class Arrays(Protocol):
    """Arrays by kind (e.g. `image`, `mask`) and index: a `Cacheable`, or a cache of one."""

    def read(self, kind: Any, index: int, /) -> np.ndarray:
        """Return an array; the caller may change it."""


class Cacheable(Arrays, Protocol):
    """Arrays that a cache can keep."""

    ids: list[str]
    kinds: tuple[Any, ...]  # the kinds of arrays; `str` of one becomes a part of a file name

    def layout(self, kind: Any, /) -> tuple[list[tuple[int, ...]], np.dtype]:
        """Return the shape of each array of a kind, and their type."""

    def inputs(self, kind: Any, /) -> dict[str, Any]:
        """Return everything that affects the arrays of a kind: `files`, `root`, values, and the classes, as `code`."""


class Memory:
    """Keep arrays in memory after they are first read. Forked workers share them; other workers keep their own.

    A source that needs more than `limit` GiB is not kept; a warning is logged.
    """

    def __init__(self, source: Cacheable, limit: Positive) -> None:
        self.source, self.limit = source, limit
        layouts = {kind: source.layout(kind) for kind in source.kinds}
        needed = sum(_length(shapes) * dtype.itemsize for shapes, dtype in layouts.values()) / 2**30
        if needed > limit:
            message = "the training samples need %.1f GiB of memory, more than data.cache.limit=%g: %s"
            log.warning(message, needed, limit, "they are decoded each time (cache=disk keeps them on disk)")
            layouts = {}
        self.values = {
            kind: _split(_shared(_length(shapes), dtype), shapes) for kind, (shapes, dtype) in layouts.items()
        }
        self.done = {kind: _shared(len(source.ids), np.dtype(bool)) for kind in layouts}
        self.lock = multiprocessing.Lock()  # a memory barrier: a flag is never visible before its array

    def __reduce__(self) -> tuple[Any, ...]:
        return Memory, (self.source, self.limit)

    def read(self, kind: Any, index: int) -> np.ndarray:
        if kind not in self.values:
            return self.source.read(kind, index)
        with self.lock:
            done = self.done[kind][index]
        kept = self.values[kind][index]
        if done:
            return kept.copy()
        array = self.source.read(kind, index)
        kept[...] = _checked(array, kept.shape, kept.dtype, self.source, index)
        with self.lock:
            self.done[kind][index] = True
        return array


class Files:
    """Keep arrays in files, which all workers and all jobs map into memory; a file is built before its first use.

    The name of a file is a hash of everything that affects its content. A file is whole or absent, so several jobs may
    build the same one. The folder may be removed when no job is starting. `threads` decode while a file is built. A
    ValueError if the folder cannot be written, or a file of the data set is damaged.
    """

    def __init__(self, source: Cacheable, folder: str, threads: Count) -> None:
        self.source, self.folder, self.threads = source, folder, threads
        self.paths = {kind: _build(source, kind, Path(folder).expanduser(), threads) for kind in source.kinds}
        self.values = {
            kind: _split(np.load(path, mmap_mode="r", allow_pickle=False), source.layout(kind)[0])
            for kind, path in self.paths.items()
        }

    def __reduce__(self) -> tuple[Any, ...]:
        return Files, (self.source, self.folder, self.threads)  # another process maps the files itself

    def read(self, kind: Any, index: int) -> np.ndarray:
        return np.array(self.values[kind][index])


def fingerprint(source: Cacheable, kind: Any) -> str:
    """Return a hash of everything that affects the arrays of a kind: values, files, and the code that reads them."""
    inputs = source.inputs(kind)
    code = [base for part in inputs["code"] for base in part.__mro__]
    files = {Path(file) for base in code if (file := getattr(inspect.getmodule(base), "__file__", None))}
    content = inputs | {
        "kind": str(kind),
        "ids": source.ids,
        "files": [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in inputs["files"]],
        "classes": [f"{base.__module__}.{base.__qualname__}" for base in code],
        "code": sorted({sha256(file) for file in {*files, *_OURS.rglob("*.py")}}),
        "versions": versions(_DECODERS),
    }
    return hashlib.sha256(json.dumps(content, default=str, sort_keys=True).encode()).hexdigest()


def _build(source: Cacheable, kind: Any, folder: Path, threads: int) -> Path:
    """Return the file with the concatenated arrays of a kind; build it if there is no valid one."""
    root = Path(source.inputs(kind)["root"]).name
    path = folder / f"{root}-{kind}-{fingerprint(source, kind)[:32]}.npy"
    shapes, dtype = source.layout(kind)
    try:
        cached = np.load(path, mmap_mode="r", allow_pickle=False)
        if cached.shape == (_length(shapes),) and cached.dtype == dtype:
            return path
    except (OSError, ValueError, EOFError):  # absent or damaged
        pass
    make_folder(folder)
    remove_abandoned(folder)
    with whole_file(path) as file:
        descr = np.lib.format.dtype_to_descr(dtype)
        header = {"descr": descr, "fortran_order": False, "shape": (_length(shapes),)}
        np.lib.format.write_array_header_1_0(file, header)
        with tqdm(total=len(shapes), desc=f"cache {kind}", unit="image") as bar, ThreadPoolExecutor(threads) as pool:
            for start in range(0, len(shapes), _CHUNK):
                chunk = range(len(shapes))[start : start + _CHUNK]
                for index, array in zip(chunk, pool.map(lambda index: source.read(kind, index), chunk), strict=True):
                    file.write(np.ascontiguousarray(_checked(array, shapes[index], dtype, source, index)).data)
                    bar.update()
    log.info("%s of %d samples in %s (%.0f MB)", kind, len(shapes), path, path.stat().st_size / 1e6)
    return path


def _length(shapes: Sequence[tuple[int, ...]]) -> int:
    return sum(map(math.prod, shapes))


def _split(flat: np.ndarray, shapes: Sequence[tuple[int, ...]]) -> list[np.ndarray]:
    """Return views of concatenated arrays."""
    ends = accumulate(map(math.prod, shapes))
    return [flat[end - math.prod(shape) : end].reshape(shape) for shape, end in zip(shapes, ends, strict=True)]


def _shared(length: int, dtype: np.dtype) -> np.ndarray:
    """Return zeros that forked processes share; unlike /dev/shm, their size is not limited."""
    return np.ndarray((length,), dtype, mmap.mmap(-1, max(1, length * dtype.itemsize)))


def _checked(array: np.ndarray, shape: Sequence[int], dtype: np.dtype, source: Cacheable, index: int) -> np.ndarray:
    """Return the array; refuse another shape or type than `layout` declared."""
    if array.shape != tuple(shape) or array.dtype != dtype:
        got = f"expected {dtype} {list(shape)} after resizing, got {array.dtype} {list(array.shape)}"
        raise ValueError(f"{source.ids[index]}: {got}; a cache needs arrays of one type (cache=none)")
    return array
