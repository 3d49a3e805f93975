"""Order and position of the training loader, and the shares of several processes."""

import os
import signal
import subprocess
from multiprocessing import active_children
from typing import Any

import numpy as np
import pytest
import torch

from fovea.data.loader import EpochBatches, EvaluationLoader, Order, TrainingLoader, killed_workers_explained
from fovea.runtime.workers import leave_signals_alone

Key = tuple[int, int]


class Keys:
    """Samples that are their own keys."""

    def __len__(self) -> int:
        return 10

    def __getitem__(self, key: Key) -> dict[str, Any]:
        return {"key": {"nested": np.array(key)}, "index": key[1], "id": str(key)}

    def finish(self, batch: dict[str, Any]) -> dict[str, Any]:
        return batch


def one(*arguments: Any) -> EpochBatches:
    """Return the batches of one stream with this order."""
    return EpochBatches({"all": Order(*arguments)})


def two() -> EpochBatches:
    return EpochBatches({"few": Order(3, 2, False, 0), "many": Order(10, 2, False, 0)})


def epoch(batches: EpochBatches, number: int) -> list[list[Key]]:
    """Return the pairs (pass, index) of an epoch of one stream."""
    batches.set_epoch(number)
    return [[(turn, index) for _, turn, index in batch] for batch in batches]


def loader(batches: EpochBatches | None = None, workers: int = 0) -> TrainingLoader:
    batches = batches or one(10, 4, False, 0)
    return TrainingLoader({name: Keys() for name in batches.streams}, batches, num_workers=workers)


class TestOrder:
    def test_it_is_a_pure_function_of_seed_and_epoch(self) -> None:
        batches = one(20, 20, False, 0)
        assert epoch(batches, 3) == epoch(one(20, 20, False, 0), 3)
        assert sorted(epoch(batches, 3)[0]) == [(3, index) for index in range(20)]
        orders = [
            tuple(index for _, index in epoch(one(20, 20, False, seed), number)[0])
            for seed, number in ((0, 3), (0, 4), (1, 3))
        ]
        assert len({*orders}) == 3

    @pytest.mark.parametrize(("drop_last", "sizes"), [(False, [4, 4, 2]), (True, [4, 4])])
    def test_a_short_batch_is_kept_or_dropped(self, drop_last: bool, sizes: list[int]) -> None:
        batches = one(10, 4, drop_last, 0)
        assert [len(batch) for batch in batches] == sizes and len(batches) == len(sizes)

    def test_a_pass_without_a_batch_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"data.drop_last=true leaves no batch: 3 samples .*data.batch_size=4;"):
            Order(6, 4, True, 0, 0, 2)

    @pytest.mark.parametrize("length", [10, 11])
    def test_processes_take_equally_many_steps(self, length: int) -> None:
        shares = [epoch(one(length, 2, False, 0, rank, 2), 1) for rank in range(2)]
        assert len(shares[0]) == len(shares[1]) == len(one(length, 2, False, 0, 0, 2)) == 3
        seen = [index for share in shares for batch in share for _, index in batch]
        assert {*seen} == {*range(length)} and len(seen) == 2 * -(-length // 2)

    def test_the_shorter_stream_continues_across_epochs(self) -> None:
        batches = two()
        assert len(batches) == 5
        seen: dict[str, list[Key]] = {"few": [], "many": []}
        for number in range(2):
            batches.set_epoch(number)
            for step in batches:
                assert {stream for stream, *_ in step} == {"few", "many"}
                for stream, turn, index in step:
                    seen[stream].append((turn, index))
        assert sorted(seen["many"]) == [(turn, index) for turn in range(2) for index in range(10)]
        assert sorted(seen["few"]) == [(turn, index) for turn in range(5) for index in range(3)]  # ten steps


class TestTrainingLoader:
    @pytest.mark.parametrize(("streams", "workers"), [(1, 0), (1, 1), (2, 0)])
    def test_it_resumes_in_the_middle_of_an_epoch(self, streams: int, workers: int) -> None:
        whole, resumed = (loader(two() if streams == 2 else None, workers) for _ in range(2))
        whole.batches.set_epoch(2)
        batches = iter(whole)
        next(batches)
        position = whole.state_dict()
        assert position == {"epoch": 2, "batches": 1}
        resumed.load_state_dict(position)
        resumed.batches.set_epoch(2)
        for one, other in zip(batches, resumed, strict=True):
            assert [one[name]["id"] for name in one] == [other[name]["id"] for name in other]
        resumed.batches.set_epoch(3)
        assert len(list(resumed)) == len(resumed)

    def test_arrays_and_numbers_are_stacked(self) -> None:
        torch.manual_seed(0)
        expected = torch.rand(3)
        torch.manual_seed(0)
        batch = next(iter(loader()))["all"]
        keys = batch["key"]["nested"]
        assert isinstance(keys, torch.Tensor) and keys.shape == (4, 2)
        assert batch["index"].tolist() == keys[:, 1].tolist()
        assert batch["id"] == [str(tuple(key)) for key in keys.tolist()]
        list(loader())
        assert torch.equal(torch.rand(3), expected)  # the global generator is left alone


class Damaged(Keys):
    """Samples whose last one cannot be read."""

    def __getitem__(self, key: Any) -> dict[str, Any]:
        index = key if isinstance(key, int) else key[1]
        if index == 9:
            raise ValueError("x.png: damaged; replace it")
        return {"index": index}


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("evaluation", [False, True])
def test_the_error_of_a_worker_is_raised_unchanged(workers: int, evaluation: bool) -> None:
    if evaluation:
        damaged: Any = EvaluationLoader(Damaged(), num_workers=workers)
    else:
        damaged = TrainingLoader({"all": Damaged()}, one(10, 4, False, 0), num_workers=workers)
    with pytest.raises(ValueError, match="damaged") as error:
        list(damaged)
    assert str(error.value) == "x.png: damaged; replace it" and "in __getitem__" in str(error.value.__notes__)


class Killed:
    """Samples that end their process."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> dict[str, int]:
        os.kill(os.getpid(), signal.SIGKILL)
        return {}


def test_a_killed_worker_says_what_to_lower() -> None:
    with pytest.raises(ValueError, match=r"lower data\.num_workers or data.batch_size"):
        list(EvaluationLoader(Killed(), num_workers=1))  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="of a later job"), killed_workers_explained():
        raise RuntimeError("of a later job")


class Signaled(Killed):
    """Samples during which the scheduler ends all processes of the job."""

    def __getitem__(self, index: int) -> dict[str, int]:
        signaled = subprocess.run(["sh", "-c", f"kill -TERM {os.getpid()}"], check=True)
        return {"index": index, "status": signaled.returncode}


def test_a_worker_ends_by_sigterm_of_its_parent_alone() -> None:
    """The main process ends its step and saves, with callbacks.preemption.signals=[TERM], and needs its samples."""
    samples: Any = Signaled()
    others = {*active_children()}  # of other tests
    loader = EvaluationLoader(samples, num_workers=1, worker_init_fn=leave_signals_alone, persistent_workers=True)
    assert [int(batch["index"]) for batch in loader] == [0, 1]
    [worker] = {*active_children()} - others
    worker.terminate()
    worker.join(timeout=60)
    assert worker.exitcode == 0
