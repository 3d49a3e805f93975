"""Which checkpoint a run resumes from."""

from pathlib import Path

import pytest
import torch
from torch import nn

from fovea.engine.resume import resume_from


def test_weights_alone_are_refused(tmp_path: Path) -> None:
    weights = {"state_dict": {}, "fovea": {"config": {}}, "global_step": 3, "loops": {}, "DataModule": {}}
    torch.save(weights, tmp_path / "weights.ckpt")
    with pytest.raises(
        ValueError, match=r"weights\.ckpt has weights, but no optimizer_states, lr_schedulers, callbacks"
    ):
        resume_from(str(tmp_path / "weights.ckpt"), tmp_path, {"trainer": {}}, nn.Identity())
