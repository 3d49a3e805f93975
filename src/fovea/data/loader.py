"""The training loader: its order is a pure function of seed and epoch, and it can go on in the middle of an epoch."""

import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from fovea.data.source import Samples, TrainingSamples


class Order:
    """The batches of one stream of samples, without end: pass after pass, each index once a pass over all processes.

    A process takes every n-th index of the order of a pass. Where the indices do not divide, the first of the order are
    seen twice, so that every process takes as many steps.

    Args:
        length: Number of samples.
        batch_size: Samples of a batch, on each process.
        drop_last: Leave out the last batch of a pass if it is short.
        seed: Of the order.
        rank: Number of this process, from 0.
        processes: Number of processes.
    """

    def __init__(
        self, length: int, batch_size: int, drop_last: bool, seed: int, rank: int = 0, processes: int = 1
    ) -> None:
        self.length, self.batch_size, self.drop_last, self.seed = length, batch_size, drop_last, seed
        self.rank, self.processes = rank, processes
        self.drawn: tuple[int, np.ndarray] | None = None  # the pass that is under way, and this process's part of it

    @property
    def share(self) -> int:
        """Samples of a pass on each process."""
        return -(-self.length // self.processes)

    def __len__(self) -> int:
        """Batches of a pass."""
        return self.share // self.batch_size if self.drop_last else -(-self.share // self.batch_size)

    def batch(self, number: int) -> list[tuple[int, int]]:
        """The pairs (pass, index) of a batch, counted from the first of all passes."""
        turn, place = divmod(number, len(self))
        if self.drawn is None or self.drawn[0] != turn:
            order = np.random.default_rng([self.seed, turn]).permutation(self.length)
            self.drawn = turn, np.resize(order, self.share * self.processes)[self.rank :: self.processes]
        first = place * self.batch_size
        return [(turn, int(index)) for index in self.drawn[1][first : first + self.batch_size]]


class EpochBatches(Sampler[list[tuple[str, int, int]]]):
    """Batches of triples (stream, pass, index), one batch of every stream at each step.

    An epoch is one pass over the longest stream; the shorter ones go on with their passes, from epoch to epoch, so
    that each of their samples is seen as often as any other of them.

    Args:
        streams: The order of each stream, by name.
    """

    def __init__(self, streams: Mapping[str, Order]) -> None:
        self.streams = dict(streams)
        self.epoch = 0
        self.start = 0  # batches of this epoch that are done already

    @property
    def sampler(self) -> "EpochBatches":
        """Where Lightning looks for `set_epoch`."""
        return self

    def __len__(self) -> int:
        """Batches of a whole epoch, wherever it starts."""
        return max(map(len, self.streams.values()))

    def __iter__(self) -> Iterator[list[tuple[str, int, int]]]:
        before = self.epoch * len(self)
        for batch in range(before + self.start, before + len(self)):
            yield [(name, *key) for name, order in self.streams.items() for key in order.batch(batch)]

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch; a place that was loaded holds for its own epoch alone."""
        if epoch != self.epoch:
            self.epoch, self.start = epoch, 0


class Streams(Dataset[Any]):
    """Samples of several streams by (stream, pass, index), with the name of their stream, or the error of a sample."""

    def __init__(self, streams: Mapping[str, TrainingSamples]) -> None:
        self.streams = dict(streams)

    def __getitem__(self, key: tuple[str, int, int]) -> tuple[str, dict[str, Any]] | Exception:
        stream, turn, index = key
        sample = caught(self.streams[stream].__getitem__, (turn, index))
        return sample if isinstance(sample, Exception) else (stream, sample)


class TrainingLoader(DataLoader[dict[str, Any]]):
    """A DataLoader that knows its place in the epoch, so that a killed run can go on from there.

    It gives one batch by stream: a mapping of arrays, numbers and names.

    Args:
        samples: Those of each stream.
        batches: Which ones make up a step.
        **options: Further arguments of `DataLoader`.
    """

    def __init__(self, samples: Mapping[str, TrainingSamples], batches: EpochBatches, **options: Any) -> None:
        # A generator of its own: DataLoader draws a number from it whenever an epoch starts, and would draw it from
        # the one that the network's random layers use, so that theirs would depend on how often a run was started.
        generator = torch.Generator().manual_seed(0)
        super().__init__(Streams(samples), batch_sampler=batches, generator=generator, collate_fn=by_stream, **options)
        self.batches = batches
        self.done = 0  # batches of this epoch that were given out

    def __iter__(self) -> Iterator[dict[str, Any]]:  # type: ignore[override]  # DataLoader promises a class of its own
        # As a generator, since Lightning asks for the iterator before it says which epoch it is.
        self.done = self.batches.start
        for streams in map(raised, super().__iter__()):
            self.done += 1
            yield {
                stream: {name: self._tensor(value) for name, value in batch.items()}
                for stream, batch in streams.items()
            }

    def _tensor(self, value: Any) -> Any:
        if not isinstance(value, np.ndarray):
            return value
        tensor = torch.from_numpy(value)
        return tensor.pin_memory() if self.pin_memory else tensor

    def state_dict(self) -> dict[str, int]:
        """The place: the epoch, and the batches of it that were given out."""
        return {"epoch": self.batches.epoch, "batches": self.done}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on from a place; an epoch that was given out to its end is over."""
        over = state["batches"] >= len(self.batches)
        self.batches.epoch = state["epoch"] + over
        self.batches.start = self.done = 0 if over else state["batches"]


class EvaluationLoader(DataLoader[dict[str, Any]]):
    """One image a batch, since targets keep their native sizes.

    Args:
        samples: The images with their targets.
        **options: Further arguments of `DataLoader`.
    """

    def __init__(self, samples: Samples, **options: Any) -> None:
        super().__init__(Caught(samples), batch_size=1, collate_fn=of_one, **options)

    def __iter__(self) -> Iterator[dict[str, Any]]:  # type: ignore[override]  # DataLoader promises a class of its own
        return map(raised, super().__iter__())


class Caught(Dataset[Any]):
    """Samples, or the error of a sample in its place."""

    def __init__(self, samples: Samples) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> dict[str, Any] | Exception:
        return caught(self.samples.__getitem__, index)


def caught(read: Callable[[Any], dict[str, Any]], key: Any) -> dict[str, Any] | Exception:
    """Return a sample, or the error that it ends in: torch would send the error of a worker as text."""
    try:
        return read(key)
    except (ValueError, OSError) as error:
        error.add_note(traceback.format_exc())  # where it was raised, which is lost on the way between processes
        return error


def raised(batch: dict[str, Any] | Exception) -> dict[str, Any]:
    """Return a batch, or raise the error that came in its place."""
    if isinstance(batch, Exception):
        raise batch
    return batch


def of_one(samples: Sequence[dict[str, Any] | Exception]) -> dict[str, Any] | Exception:
    """Return the one sample as a batch."""
    [sample] = samples
    batch: dict[str, Any] | Exception = sample if isinstance(sample, Exception) else default_collate([sample])
    return batch


def by_stream(samples: Sequence[tuple[str, dict[str, Any]] | Exception]) -> dict[str, dict[str, Any]] | Exception:
    """Return the samples of each stream as a batch, or the first error."""
    streams: dict[str, list[dict[str, Any]]] = {}
    for entry in samples:
        if isinstance(entry, Exception):
            return entry
        streams.setdefault(entry[0], []).append(entry[1])
    return {stream: stacked(each) for stream, each in streams.items()}


def stacked(samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Samples as a batch: arrays and numbers stacked, names in a list.

    As arrays they go from a worker through a pipe. As tensors each would go in a shared memory of its own, which takes
    more time to make and to touch for the first time than a batch of bytes takes to copy (`benchmarks/loader.py`).
    """
    return {
        name: [sample[name] for sample in samples] if isinstance(first, str) else np.stack([s[name] for s in samples])
        for name, first in samples[0].items()
    }


class Shard(Sampler[int]):
    """Every n-th index in order, for evaluation on several processes.

    The last are given twice where they do not divide; whoever scores counts each image once.

    Args:
        length: Number of samples.
        rank: Number of this process, from 0.
        processes: Number of processes.
    """

    def __init__(self, length: int, rank: int, processes: int) -> None:
        self.indices = np.resize(np.arange(length), -(-length // processes) * processes)[rank::processes]

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices.tolist())
