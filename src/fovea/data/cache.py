"""Training samples decoded and resized once: what decides the speed of small images is their files."""

import hashlib
import inspect
import json
import logging
import mmap
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from fovea.data import images, samples, store
from fovea.data.samples import Resized
from fovea.runtime.errors import FoveaError
from fovea.runtime.files import make_folder, remove_abandoned, sha256, whole_file
from fovea.runtime.provenance import versions

_DECODERS = ("numpy", "opencv-python-headless", "pillow", "pydicom")
_CHUNK = 64  # samples that are in memory at once while a file is built
log = logging.getLogger(__name__)


class Memory:
    """Keeps arrays in memory, each from when it is first read; forked workers share them with one another.

    Where workers are not forked, each keeps its own.

    Args:
        resized: What to keep.
        limit: GiB; a training split that would need more is not kept, and the log says so.
    """

    def __init__(self, resized: Resized, limit: float) -> None:
        self.resized, self.limit = resized, limit
        self.models = {kind: resized.read(kind, 0) for kind in resized.kinds}
        count = len(resized.plan.train)
        needed = count * sum(model.nbytes for model in self.models.values()) / 2**30
        if needed > limit:
            log.warning(
                "the training samples need %.1f GiB of memory, more than data.cache.limit=%g: "
                "they are decoded anew each time (cache=disk keeps them on disk)",
                needed,
                limit,
            )
            self.models = {}
        self.values = {kind: _shared((count, *model.shape), model.dtype) for kind, model in self.models.items()}
        self.known = {kind: _shared((count,), np.dtype(bool)) for kind in self.models}
        self.lock = multiprocessing.Lock()  # the barrier without which a flag might be seen before its array
        self.seen = {kind: np.zeros(count, bool) for kind in self.models}  # flags that this process need not ask for

    def __reduce__(self) -> tuple[Any, ...]:
        return Memory, (self.resized, self.limit)

    def read(self, kind: str, index: int) -> np.ndarray:
        """See `fovea.data.samples.Arrays`."""
        if not self.models:
            return self.resized.read(kind, index)
        if not self.seen[kind][index]:
            with self.lock:
                self.seen[kind][index] = self.known[kind][index]
        if self.seen[kind][index]:
            return self.values[kind][index].copy()  # transforms may write to what they are given
        array = self.resized.read(kind, index)
        self.values[kind][index] = _alike(array, self.models[kind], self.resized, index)
        with self.lock:
            self.known[kind][index] = True
        return array


class Files:
    """Keeps arrays in files, built before the first is read, which all workers and all jobs map into memory.

    A file is named after everything that decides its content, so that another image, map, size, library or data set
    class makes another file. It is whole or absent; jobs that build the same one at once do not disturb one another.

    Args:
        resized: What to keep.
        folder: Where; it can be removed whenever no job is starting.
        threads: That decode while a file is built.

    Raises:
        FoveaError: the folder cannot be written, the disk is full, or a file of the data set is damaged.
    """

    def __init__(self, resized: Resized, folder: str, threads: int) -> None:
        if threads < 1:
            raise FoveaError(f"data.cache.threads={threads} is not possible; give a whole number from 1 on")
        self.resized, self.folder, self.threads = resized, folder, threads
        place = Path(folder).expanduser()
        self.paths = {kind: _file(resized, kind, place, threads) for kind in resized.kinds}
        self.values = {kind: np.load(path, mmap_mode="r", allow_pickle=False) for kind, path in self.paths.items()}

    def __reduce__(self) -> tuple[Any, ...]:
        return Files, (self.resized, self.folder, self.threads)  # another process maps them itself

    def read(self, kind: str, index: int) -> np.ndarray:
        """See `fovea.data.samples.Arrays`."""
        return np.array(self.values[kind][index])


def fingerprint(resized: Resized, kind: str) -> str:
    """A hash of everything that decides the arrays of a kind: values, files, and the code that reads them."""
    plan = resized.plan
    dataset, paths = plan.dataset, [plan.dataset.image_path(image_id) for image_id in plan.train]
    manifest = None
    if kind == "mask":  # and the images, whose sizes the masks are held against
        paths += [path for path in map(dataset.mask_path, plan.train) if path is not None]
    if kind == "pseudo":
        assert plan.store is not None
        paths = [plan.store.path / "maps" / f"{image_id}.png" for image_id in plan.train]
        manifest = sha256(plan.store.path / "manifest.json")
    content = {
        "kind": kind,
        "size": resized.size,
        "ids": plan.train,
        "dataset": {key: value for key, value in vars(dataset).items() if not key.startswith("_")},
        "root": str(dataset.root.resolve()),
        "manifest": manifest,
        "files": [_state(path) for path in paths],
        "code": [sha256(path) for path in _code(type(dataset))],
        "versions": versions(_DECODERS),
    }
    return hashlib.sha256(json.dumps(content, default=str, sort_keys=True).encode()).hexdigest()


def _state(path: Path) -> tuple[str, int, int]:
    try:
        status = path.stat()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise FoveaError(f"cannot read {path}: {reason}; restore the file or its permissions") from error
    return str(path.resolve()), status.st_size, status.st_mtime_ns


def _code(dataset: type) -> list[Path]:
    """The source files that decode: a data set class is the user's to change."""
    written = [inspect.getmodule(kind) for kind in dataset.__mro__ if kind is not object]
    modules = {module.__file__ for module in (*written, images, samples, store) if module is not None}
    return sorted(Path(file) for file in modules if file is not None)


def _file(resized: Resized, kind: str, folder: Path, threads: int) -> Path:
    """The file of a kind, built where there is none that can be used."""
    path = folder / f"{resized.plan.dataset.root.name}-{resized.size}-{kind}-{fingerprint(resized, kind)[:32]}.npy"
    model = resized.read(kind, 0)
    shape = (len(resized.plan.train), *model.shape)
    if not _usable(path, shape, model.dtype):
        make_folder(folder)
        remove_abandoned(folder)
        with whole_file(path) as file:
            header = {"descr": np.lib.format.dtype_to_descr(model.dtype), "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            for index, array in enumerate(_decoded(resized, kind, threads)):
                file.write(np.ascontiguousarray(_alike(array, model, resized, index)).data)
        log.info("%s of %d training samples in %s (%.0f MB)", kind, shape[0], path, path.stat().st_size / 1e6)
    return path


def _usable(path: Path, shape: tuple[int, ...], dtype: np.dtype) -> bool:
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):  # absent or damaged
        return False
    return found.shape == shape and found.dtype == dtype


def _decoded(resized: Resized, kind: str, threads: int) -> Iterator[np.ndarray]:
    """All arrays of a kind in order; the decoders of images run without Python's lock."""
    count = len(resized.plan.train)
    with (
        tqdm(total=count, desc=f"cache {kind}", unit="image") as progress,
        ThreadPoolExecutor(threads) as pool,
    ):
        for start in range(0, count, _CHUNK):
            chunk = range(start, min(start + _CHUNK, count))
            for array in pool.map(lambda index: resized.read(kind, index), chunk):
                yield array
                progress.update()


def _shared(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Zeros that forked processes write to and read from together; unlike /dev/shm, of no fixed size."""
    area = mmap.mmap(-1, max(1, int(np.prod(shape)) * dtype.itemsize))
    return np.ndarray(shape, dtype, area)


def _alike(array: np.ndarray, model: np.ndarray, resized: Resized, index: int) -> np.ndarray:
    """The array, if it is of the first one's shape and type."""
    if array.shape != model.shape or array.dtype != model.dtype:
        raise FoveaError(
            f"{resized.plan.train[index]}: {array.dtype} {list(array.shape)} after resizing, but "
            f"{resized.plan.train[0]} is {model.dtype} {list(model.shape)}; the cache needs one kind (cache=none)"
        )
    return array
