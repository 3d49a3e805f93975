"""Which checkpoint a run resumes from."""

from pathlib import Path

import pytest
import torch
from torch import nn

from fovea.engine.resume import differences, resume_from


def test_weights_alone_are_refused(tmp_path: Path) -> None:
    weights = {"state_dict": {}, "fovea": {"config": {}}, "global_step": 3, "loops": {}, "DataModule": {}}
    torch.save(weights, tmp_path / "weights.ckpt")
    with pytest.raises(
        ValueError, match=r"weights\.ckpt has weights, but no optimizer_states, lr_schedulers, callbacks"
    ):
        resume_from(str(tmp_path / "weights.ckpt"), tmp_path, {"trainer": {}}, nn.Identity())


@pytest.mark.parametrize(
    ("key", "value", "refused"),
    [
        ("exif", "ignore", False),  # the default of all data sets that have it
        ("exif", "apply", True),
        ("range", None, False),
        ("range", [0, 4095], True),
        ("channels", 3, True),  # 1 for some data sets
        ("of_your_own", 1, True),
    ],
)
def test_a_key_that_an_earlier_version_lacked_may_have_its_default(key: str, value: object, refused: bool) -> None:
    then, now = {"data": {"name": "kvasir"}}, {"data": {"name": "kvasir", key: value}}
    assert differences(then, now) == ([f"data.{key}=absent, now {value}"] if refused else [])
    assert differences(now, {"data": {"name": "kvasir", key: "other"}}) == [f"data.{key}={value}, now other"]


def test_a_new_key_of_the_command_may_have_its_default() -> None:
    assert differences({}, {"compile": False, "channels_last": True}) == ["channels_last=absent, now True"]
