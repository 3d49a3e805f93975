"""Order and place of the training loader, and the shares of several processes."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from fovea.data.loader import EpochBatches, EvaluationLoader, Order, Shard, TrainingLoader


class Keys(Dataset[dict[str, Any]]):
    """Samples that are their own keys."""

    def __len__(self) -> int:
        return 10

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        return {"key": np.array(key), "index": key[1], "id": str(key)}


def one(*arguments: Any) -> EpochBatches:
    """Batches of one stream, by the arguments of its order."""
    return EpochBatches({"all": Order(*arguments)})


def epoch(batches: EpochBatches, number: int) -> list[list[tuple[int, int]]]:
    """The pairs of (pass, index) of an epoch of one stream."""
    batches.set_epoch(number)
    return [[(turn, index) for _, turn, index in batch] for batch in batches]


def loader(workers: int = 0) -> TrainingLoader:
    return TrainingLoader({"all": Keys()}, one(10, 4, False, 0), num_workers=workers)


def test_the_order_is_a_pure_function_of_seed_and_epoch() -> None:
    batches = one(20, 20, False, 0)
    assert epoch(batches, 3) == epoch(one(20, 20, False, 0), 3)
    assert sorted(epoch(batches, 3)[0]) == [(3, index) for index in range(20)]
    orders = [
        [index for _, index in epoch(one(20, 20, False, seed), number)[0]] for seed, number in ((0, 3), (0, 4), (1, 3))
    ]
    assert orders[0] != orders[1] and orders[0] != orders[2]


@pytest.mark.parametrize(("drop_last", "sizes"), [(False, [4, 4, 2]), (True, [4, 4])])
def test_a_short_batch_is_kept_or_dropped(drop_last: bool, sizes: list[int]) -> None:
    batches = one(10, 4, drop_last, 0)
    assert [len(batch) for batch in batches] == sizes
    assert len(batches) == len(sizes)


@pytest.mark.parametrize("length", [10, 11])
def test_processes_share_an_epoch_and_take_as_many_steps(length: int) -> None:
    shares = [epoch(one(length, 2, False, 0, rank, 2), 1) for rank in range(2)]
    assert len(shares[0]) == len(shares[1]) == len(one(length, 2, False, 0, 0, 2)) == 3
    seen = [index for share in shares for batch in share for _, index in batch]
    assert set(seen) == set(range(length)) and len(seen) == 2 * -(-length // 2)


@pytest.mark.parametrize("workers", [0, 1])
def test_it_goes_on_where_it_was(workers: int) -> None:
    whole = loader(workers)
    whole.batches.set_epoch(2)
    given = iter(whole)
    first = next(given)
    place = whole.state_dict()
    assert place == {"epoch": 2, "batches": 1}
    again = loader(workers)
    again.load_state_dict(place)
    again.batches.set_epoch(2)
    rest = list(again)
    assert len(rest) == 2 and [batch["all"]["id"] for batch in rest] == [batch["all"]["id"] for batch in given]
    assert not any(set(first["all"]["id"]) & set(batch["all"]["id"]) for batch in rest)
    again.batches.set_epoch(3)
    assert len(list(again)) == 3


def test_arrays_and_numbers_are_stacked_and_names_listed() -> None:
    batch = next(iter(loader()))["all"]
    assert batch["key"].shape == (4, 2) and batch["index"].tolist() == batch["key"][:, 1].tolist()
    assert batch["id"] == [str(tuple(key)) for key in batch["key"].tolist()]


def test_an_epoch_given_out_to_its_end_is_over() -> None:
    whole = loader()
    list(whole)
    again = loader()
    again.load_state_dict(whole.state_dict())
    assert again.state_dict() == {"epoch": 1, "batches": 0}


def test_networks_draw_the_same_numbers_however_often_an_epoch_starts() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    list(loader()), list(loader())
    assert torch.equal(torch.rand(3), expected)


def test_an_evaluation_is_shared_in_equal_numbers() -> None:
    assert [list(Shard(5, rank, 2)) for rank in range(2)] == [[0, 2, 4], [1, 3, 0]]
    assert list(Shard(3, 0, 1)) == [0, 1, 2] and list(Shard(0, 0, 2)) == []


def test_an_epoch_is_a_pass_over_the_longer_stream_and_the_shorter_one_goes_on() -> None:
    batches = EpochBatches({"few": Order(3, 2, False, 0), "many": Order(10, 2, False, 0)})
    assert len(batches) == 5
    seen: dict[str, list[tuple[int, int]]] = {"few": [], "many": []}
    for number in range(2):
        batches.set_epoch(number)
        for step in batches:
            assert {stream for stream, *_ in step} == {"few", "many"}
            for stream, turn, index in step:
                seen[stream].append((turn, index))
    assert sorted(seen["many"]) == [(turn, index) for turn in range(2) for index in range(10)]
    assert sorted(seen["few"]) == [(turn, index) for turn in range(5) for index in range(3)]  # ten steps: five passes


def test_two_streams_go_on_where_they_were() -> None:
    def made() -> TrainingLoader:
        orders = {"few": Order(3, 2, False, 0), "many": Order(10, 2, False, 0)}
        return TrainingLoader({"few": Keys(), "many": Keys()}, EpochBatches(orders))

    whole = made()
    whole.batches.set_epoch(1)
    given = iter(whole)
    for _ in range(2):
        next(given)
    again = made()
    again.load_state_dict(whole.state_dict())
    again.batches.set_epoch(1)
    rest = list(again)
    assert len(rest) == 3
    assert [[b[name]["id"] for name in b] for b in rest] == [[b[name]["id"] for name in b] for b in given]


class Damaged(Keys):
    """Samples of which the last cannot be read."""

    def __getitem__(self, key: Any) -> dict[str, Any]:
        index = key if isinstance(key, int) else key[1]
        if index == 9:
            raise ValueError("x.png: damaged; replace it")
        return {"index": index}


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("evaluation", [False, True])
def test_the_error_of_a_worker_is_raised_as_it_is(workers: int, evaluation: bool) -> None:
    if evaluation:
        made: Any = EvaluationLoader(Damaged(), num_workers=workers)
    else:
        made = TrainingLoader({"all": Damaged()}, one(10, 4, False, 0), num_workers=workers)
    with pytest.raises(ValueError, match="damaged") as error:
        list(made)
    assert str(error.value) == "x.png: damaged; replace it" and "in __getitem__" in str(error.value.__notes__)
