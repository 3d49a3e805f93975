"""A training whose loss, weights or gradients are not numbers."""

import math
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.plugins.precision import MixedPrecision
from torch import Tensor, nn
from torch.utils.data import DataLoader

from fovea.engine.callbacks.progress import Progress
from fovea.engine.checkpoint import fill
from fovea.engine.segmenter import Segmenter
from fovea.engine.train import nothing_trained

CONFIG = {
    "optimizer": {"_target_": "torch.optim.SGD", "_partial_": True, "lr": 1e-9},
    "scheduler": {"_target_": "fovea.engine.schedules.constant", "_partial_": True},
    **{"trainer": {"precision": "32-true"}, "data": {"classes": 1}, "channels_last": False, "compile": False},
}


class Line(nn.Module):
    """One weight, and a loss of two terms; `bce` is not a number from a step on.

    Args:
        broken_from: That step.
        gradient: Of the loss; 0 makes it NaN, while the loss stays 0.
    """

    def __init__(self, broken_from: int = 99, gradient: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(1.0))
        self.gradient, self.broken_from, self.step = gradient, broken_from, 0

    def losses(self, batch: Any, progress: float) -> dict[str, Tensor]:
        self.step += 1
        bce = self.weight * self.gradient if self.gradient else (self.weight * 0).sqrt()
        bce = bce * math.nan if self.step >= self.broken_from else bce
        return {"loss": bce + 1, "dice": torch.tensor(1.0), "bce": bce}

    def after_step(self, progress: float) -> None:
        pass


def fit(folder: Path, line: Line, every: int = 1, **options: Any) -> tuple[Segmenter, pl.Trainer]:
    """Train six steps; a checkpoint is saved every few steps."""
    segmenter = Segmenter(line, CONFIG, lambda mode: mode)  # type: ignore[arg-type,return-value]
    trainer = pl.Trainer(
        max_steps=6,
        accelerator="cpu",
        logger=False,
        log_every_n_steps=2,
        callbacks=[
            ModelCheckpoint(folder, "last", every_n_train_steps=every, enable_version_counter=False),
            Progress(1),
        ],
        enable_model_summary=False,
        default_root_dir=folder,
        **options,
    )
    trainer.fit(segmenter, DataLoader(torch.ones(6, 1)))
    return segmenter, trainer


def saved(folder: Path) -> int | None:
    """Return the step of the checkpoint."""
    path = folder / "last.ckpt"
    return int(torch.load(path, weights_only=True)["global_step"]) if path.exists() else None


@pytest.mark.parametrize(("every", "step"), [(1, 2), (2, 2), (100, None)])
def test_a_loss_that_is_not_a_number(
    tmp_path: Path, every: int, step: int | None, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match=r"step 3: the term bce .*optimizer.lr=1e-09"):
        fit(tmp_path, Line(broken_from=3), every)
    assert re.search(r"2/6 \[.*\]\n$", capsys.readouterr().err)  # the error does not stand behind the bar
    assert saved(tmp_path) == step


def test_weights_that_are_not_numbers_are_neither_saved_nor_loaded(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"step 1: weights are not numbers \(supervision.weight\)"):
        fit(tmp_path, Line(gradient=0.0))
    assert saved(tmp_path) is None
    with pytest.raises(ValueError, match=r"x.ckpt has weights that are not numbers \(weight\)"):
        fill(Line(), {"weight": torch.tensor(math.nan)}, tmp_path / "x.ckpt")


def test_steps_that_the_scaler_skips_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**125)
    precision = MixedPrecision("16-mixed", "cpu", scaler)
    segmenter, _ = fit(tmp_path, Line(gradient=16.0), plugins=[precision])  # 16 * 2**124 is too large for float32
    assert segmenter.skipped == 2
    assert [record.message for record in caplog.records if "skipped" in record.message] == [
        "trainer.precision=16-mixed: 2 of 6 steps were skipped, since a gradient was too large for it"
    ]
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["fovea"]["skipped"] == 2


def test_a_training_of_skipped_steps_trained_nothing() -> None:
    trainer = SimpleNamespace(max_steps=6)
    every = nothing_trained(trainer, SimpleNamespace(skipped=6))  # type: ignore[arg-type]
    assert every.startswith("nothing was trained: trainer.precision=16-mixed skipped all 6 steps")
    none = nothing_trained(trainer, SimpleNamespace(skipped=0))  # type: ignore[arg-type]
    assert none.startswith("nothing was trained: 0 steps with trainer.max_steps=6")
