"""The training loader: its order is a pure function of seed and epoch, and it can go on in the middle of an epoch."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler


class EpochBatches(Sampler[list[tuple[int, int]]]):
    """Batches of pairs (epoch, index), each index once an epoch over all processes.

    A process takes every n-th index of the epoch's order. Where the indices do not divide, the first of the order are
    seen twice, so that every process takes as many steps.

    Args:
        length: Number of samples.
        batch_size: Samples of a batch, on each process.
        drop_last: Leave out the last batch of an epoch if it is short.
        seed: Of the order.
        rank: Number of this process, from 0.
        processes: Number of processes.
    """

    def __init__(
        self, length: int, batch_size: int, drop_last: bool, seed: int, rank: int = 0, processes: int = 1
    ) -> None:
        self.length, self.batch_size, self.drop_last, self.seed = length, batch_size, drop_last, seed
        self.rank, self.processes = rank, processes
        self.epoch = 0
        self.start = 0  # batches of this epoch that are done already

    @property
    def sampler(self) -> "EpochBatches":
        """Where Lightning looks for `set_epoch`."""
        return self

    @property
    def share(self) -> int:
        """Samples of an epoch on each process."""
        return -(-self.length // self.processes)

    def __len__(self) -> int:
        """Batches of a whole epoch, wherever it starts."""
        return self.share // self.batch_size if self.drop_last else -(-self.share // self.batch_size)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.length)
        mine = np.resize(order, self.share * self.processes)[self.rank :: self.processes]
        for batch in range(self.start, len(self)):
            first = batch * self.batch_size
            yield [(self.epoch, int(index)) for index in mine[first : first + self.batch_size]]

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch; a place that was loaded holds for its own epoch alone."""
        if epoch != self.epoch:
            self.epoch, self.start = epoch, 0


class TrainingLoader(DataLoader[dict[str, Any]]):
    """A DataLoader that knows its place in the epoch, so that a killed run can go on from there.

    Args:
        samples: Samples by (epoch, index), of arrays, numbers and names.
        batches: Which ones make up a batch.
        **options: Further arguments of `DataLoader`.
    """

    def __init__(self, samples: Dataset[dict[str, Any]], batches: EpochBatches, **options: Any) -> None:
        # A generator of its own: DataLoader draws a number from it whenever an epoch starts, and would draw it from
        # the one that the network's random layers use, so that theirs would depend on how often a run was started.
        generator = torch.Generator().manual_seed(0)
        super().__init__(samples, batch_sampler=batches, generator=generator, collate_fn=stacked, **options)
        self.batches = batches
        self.done = 0  # batches of this epoch that were given out

    def __iter__(self) -> Iterator[dict[str, Any]]:  # type: ignore[override]  # DataLoader promises a class of its own
        # As a generator, since Lightning asks for the iterator before it says which epoch it is.
        self.done = self.batches.start
        for arrays in super().__iter__():
            self.done += 1
            yield {name: self._tensor(value) for name, value in arrays.items()}

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
