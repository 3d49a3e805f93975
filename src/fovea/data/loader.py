"""Training loader whose order is a pure function of seed and epoch, and which resumes in the middle of an epoch."""

import signal
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import active_children
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from fovea.data.source import Samples, TrainingSamples


@dataclass
class Order:
    """The endless sequence of batches of one stream; each pass has every index once, over all processes.

    A process takes every n-th index of a pass. If the number of indices is not a multiple of n, the first ones of the
    pass appear twice, so all processes take equally many steps. `batch_size` is that of each process, and `drop_last`
    leaves out a short last batch of a pass. `twins` is the number of other streams of this length that have an order
    already: with one order, the same pairs would meet in every pass.
    """

    length: int
    batch_size: int
    drop_last: bool
    seed: int
    rank: int = 0
    processes: int = 1
    twins: int = 0

    def __post_init__(self) -> None:
        self.share = -(-self.length // self.processes)  # samples of a pass on each process
        if not len(self):
            fix = f"data.batch_size={self.batch_size}; set data.drop_last=false, or a smaller data.batch_size"
            raise ValueError(f"data.drop_last=true leaves no batch: {self.share} samples on a process, and {fix}")
        self.drawn: tuple[int, np.ndarray] | None = None  # the current pass and this process's indices of it

    def __len__(self) -> int:
        """Return the number of batches of a pass."""
        return self.share // self.batch_size if self.drop_last else -(-self.share // self.batch_size)

    def batch(self, number: int) -> list[tuple[int, int]]:
        """Return the pairs (pass, index) of a batch, counted from the first of all passes."""
        turn, place = divmod(number, len(self))
        if self.drawn is None or self.drawn[0] != turn:
            order = np.random.default_rng([self.seed, turn, self.twins]).permutation(self.length)
            self.drawn = turn, np.resize(order, self.share * self.processes)[self.rank :: self.processes]
        first = place * self.batch_size
        return [(turn, int(index)) for index in self.drawn[1][first : first + self.batch_size]]


class EpochBatches(Sampler[list[tuple[str, int, int]]]):
    """Batches of triples (stream, pass, index), with a batch of every stream at each step.

    An epoch is one pass over the longest stream. The passes of the shorter streams continue across epochs, so all
    samples of a stream are seen equally often.
    """

    def __init__(self, streams: Mapping[str, Order]) -> None:
        self.streams = dict(streams)
        self.epoch = 0
        self.start = 0  # batches of this epoch that are already done

    @property
    def sampler(self) -> "EpochBatches":
        """The object whose `set_epoch` Lightning calls."""
        return self

    def __len__(self) -> int:
        """Return the number of batches of a whole epoch, also of one that was resumed."""
        return max(map(len, self.streams.values()))

    def __iter__(self) -> Iterator[list[tuple[str, int, int]]]:
        before = self.epoch * len(self)
        for batch in range(before + self.start, before + len(self)):
            yield [(name, *key) for name, order in self.streams.items() for key in order.batch(batch)]

    def set_epoch(self, epoch: int) -> None:
        """Start another epoch at its first batch; Lightning calls this before each epoch."""
        if epoch != self.epoch:
            self.epoch, self.start = epoch, 0


class Caught(Dataset[Any]):
    """Samples, or the error of a sample in its place, since torch would send the error of a worker as text.

    A key of several streams is (stream, pass, index), and its sample comes with the name of the stream.
    """

    def __init__(self, samples: Samples | Mapping[str, TrainingSamples]) -> None:
        self.samples: Any = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, key: Any) -> Any:
        try:
            if isinstance(key, tuple):
                stream, *place = key
                return stream, self.samples[stream][tuple(place)]
            return self.samples[key]
        except (ValueError, OSError) as error:
            error.add_note(traceback.format_exc())  # the traceback is lost between processes
            return error


class TrainingLoader(DataLoader[dict[str, Any]]):
    """A DataLoader that stores its position in the epoch, so a killed run can resume there.

    It yields one batch by stream, with tensors and lists of names.
    """

    def __init__(self, samples: Mapping[str, TrainingSamples], batches: EpochBatches, **options: Any) -> None:
        # DataLoader draws a number at the start of each epoch. With the global generator, a resumed run would get other
        # random numbers in the layers of the network.
        generator = torch.Generator().manual_seed(0)
        super().__init__(Caught(samples), batch_sampler=batches, generator=generator, collate_fn=by_stream, **options)
        self.batches = batches
        self.done = 0  # batches of this epoch that were yielded

    def __iter__(self) -> Iterator[dict[str, Any]]:  # type: ignore[override]  # DataLoader declares its own class
        # A generator, because Lightning asks for the iterator before it sets the epoch.
        self.done = self.batches.start
        for batch in received(super().__iter__(), self.pin_memory):
            self.done += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Return the position: the epoch, and the number of its batches that were yielded."""
        return {"epoch": self.batches.epoch, "batches": self.done}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Resume at a position; at the end of an epoch, resume at the start of the next."""
        over = state["batches"] >= len(self.batches)
        self.batches.epoch = state["epoch"] + over
        self.batches.start = self.done = 0 if over else state["batches"]


class EvaluationLoader(DataLoader[dict[str, Any]]):
    """One image a batch, since targets keep their native sizes."""

    def __init__(self, samples: Samples, **options: Any) -> None:
        super().__init__(Caught(samples), batch_size=1, collate_fn=of_one, **options)

    def __iter__(self) -> Iterator[dict[str, Any]]:  # type: ignore[override]  # DataLoader declares its own class
        with killed_workers_explained():
            yield from received(super().__iter__(), self.pin_memory)


_workers: set[Any] = set()  # the processes that loaders have started


def received(batches: Iterator[Any], pin_memory: bool) -> Iterator[dict[str, Any]]:
    """Yield the batches of a DataLoader as tensors, or raise an error in place of one.

    The workers are known to `killed_workers_explained`.
    """
    _workers.update(active_children())
    for batch in batches:
        if isinstance(batch, Exception):
            raise batch
        yield as_tensors(batch, pin_memory)


@contextmanager
def killed_workers_explained() -> Iterator[None]:
    """Raise a ValueError that says what to lower if the system kills a worker in the block: torch raises anywhere."""
    earlier = {worker for worker in _workers if worker.exitcode is not None}  # e.g. of a job before, in a sweep
    try:
        yield
    except RuntimeError as error:
        if not {-signal.SIGKILL, -signal.SIGBUS} & {worker.exitcode for worker in _workers - earlier}:
            raise
        fix = "lower data.num_workers or data.batch_size, or set cache=disk (cache=ram keeps all images in memory)"
        raise ValueError(f"a worker that loads data was killed, most likely for lack of memory; {fix}") from error


def of_one(samples: Sequence[dict[str, Any] | Exception]) -> Any:
    """Return the one sample as a batch."""
    [sample] = samples
    return sample if isinstance(sample, Exception) else stacked([sample])


def by_stream(samples: Sequence[tuple[str, dict[str, Any]] | Exception]) -> dict[str, dict[str, Any]] | Exception:
    """Return the samples of each stream as a batch, or the first error."""
    streams: dict[str, list[dict[str, Any]]] = {}
    for entry in samples:
        if isinstance(entry, Exception):
            return entry
        streams.setdefault(entry[0], []).append(entry[1])
    return {stream: stacked(group) for stream, group in streams.items()}


def stacked(values: Sequence[Any]) -> Any:
    """Stack the values of several samples: mappings by key, arrays and numbers as an array, names as a list.

    Arrays go through the pipe of a worker. A tensor would get its own shared memory, which takes longer than to copy a
    batch of bytes (`benchmarks/loader.py`).
    """
    first = values[0]
    if isinstance(first, Mapping):
        return {name: stacked([value[name] for value in values]) for name in first}
    return list(values) if isinstance(first, str) else np.stack(values)


def as_tensors(batch: Any, pin_memory: bool) -> Any:
    """Return a batch with its arrays as tensors."""
    if isinstance(batch, Mapping):
        return {name: as_tensors(value, pin_memory) for name, value in batch.items()}
    if not isinstance(batch, np.ndarray):
        return batch
    tensor = torch.from_numpy(batch)
    return tensor.pin_memory() if pin_memory else tensor
