"""The batches of several streams, and a trial of a last batch of one image if there is batch normalization."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fovea.engine.datamodule import DataModule, check_last_batch


class Images:
    """Images of one pixel."""

    def __init__(self, number: int = 5) -> None:
        self.number = number

    def __len__(self) -> int:
        return self.number

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        return {"image": np.ones((2, 1, 1), np.float32)}

    def finish(self, batch: dict[str, Any]) -> dict[str, Any]:
        return batch


class Norm(nn.Module):
    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def losses(self, batch: dict[str, Tensor], progress: float) -> dict[str, Tensor]:
        return {"loss": self.norm(batch["image"]).sum()}


def test_streams_of_equal_length_meet_in_other_pairs_in_each_pass() -> None:
    training = SimpleNamespace(streams=lambda: {"labeled": Images(), "unlabeled": Images()})
    batches = DataModule(training, 1, num_workers=0, drop_last=False, seed=0).batches(0, 1)  # type: ignore[arg-type]
    pairs = set()
    for epoch in range(9):
        batches.set_epoch(epoch)
        pairs |= {tuple(index for _, _, index in batch) for batch in batches}
    assert len(pairs) > 15  # of 25


class Later(Norm):
    """Uses its unlabeled images late in the training."""

    def losses(self, batch: dict[str, Any], progress: float) -> dict[str, Tensor]:
        return super().losses(batch["unlabeled" if progress > 0.5 else "labeled"], progress)


def test_a_stream_that_comes_in_later_is_tried_too() -> None:
    streams = {"labeled": Images(4), "unlabeled": Images(5)}
    data = DataModule(SimpleNamespace(streams=lambda: streams), 4, num_workers=0, drop_last=False, seed=0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"a batch has one image.*set data.drop_last=true"):
        check_last_batch(Later(nn.BatchNorm2d(2)), data, 1)  # type: ignore[arg-type]


def check(norm: nn.Module, batch_size: int, drop_last: bool = False, processes: int = 1) -> None:
    training = SimpleNamespace(streams=lambda: {"labeled": Images()})
    data = DataModule(training, batch_size, num_workers=0, drop_last=drop_last, seed=0)  # type: ignore[arg-type]
    check_last_batch(Norm(norm), data, processes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("batch_size", "processes", "fix"),
    [(4, 1, "set data.drop_last=true"), (2, 2, "set data.drop_last=true"), (1, 1, "set data.batch_size=2 or more")],
)
def test_one_value_per_channel_is_refused(batch_size: int, processes: int, fix: str) -> None:
    with pytest.raises(ValueError, match=rf"data.batch_size={batch_size}: .* batch normalization norm .*{fix}"):
        check(nn.BatchNorm2d(2), batch_size, processes=processes)


def test_what_can_train_is_accepted_and_unchanged() -> None:
    check(nn.GroupNorm(1, 2), 4)
    check(nn.BatchNorm2d(2), 4, drop_last=True)
    check(nn.BatchNorm2d(2), 3)
    before, state = (norm := nn.Sequential(nn.Upsample(scale_factor=2), nn.BatchNorm2d(2))), torch.get_rng_state()
    check(norm, 4)
    assert before[1].num_batches_tracked == 0 and torch.equal(torch.get_rng_state(), state)
