"""Canaries: what Lightning renamed, and which function of `fovea.engine.lightning_private` to fix."""

import inspect
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import WandbLogger
from torch.utils.data import DataLoader

from fovea.engine.lightning_private import log_under_global_step, resume_epochs_from_loader, validation_follows


class Line(pl.LightningModule):
    """One weight; records what the private names hold at each step."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.follows: list[bool] = []
        self.fetchers: list[Any] = []

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        return self.layer(batch).sum()

    def validation_step(self, batch: torch.Tensor, batch_idx: int) -> None:
        pass

    def on_train_batch_end(self, *args: Any) -> None:
        self.fetchers.append(getattr(self.trainer.fit_loop, "_data_fetcher", None))
        self.follows.append(validation_follows(self.trainer))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fitted(tmp_path: Path) -> tuple[pl.Trainer, Line]:
    loader, module = DataLoader(torch.ones(4, 1)), Line()
    trainer = pl.Trainer(
        max_steps=4,
        val_check_interval=2,
        accelerator="cpu",
        logger=False,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(module, loader, loader)
    return trainer, module


def test_private_names_of_lightning(tmp_path: Path) -> None:
    trainer, module = fitted(tmp_path)
    loop = trainer.fit_loop.epoch_loop
    assert all(fetcher is not None for fetcher in module.fetchers), "fit_loop._data_fetcher: fix validation_follows"
    assert hasattr(loop, "_should_check_val_fx"), "epoch_loop._should_check_val_fx: fix validation_follows"
    assert module.follows == [False, True, False, True], "the rule of validation changed: fix validation_follows"
    assert hasattr(loop, "_batches_that_stepped"), "_batches_that_stepped: fix log_under_global_step"
    log_under_global_step(trainer)
    assert loop._batches_that_stepped == trainer.global_step

    trainer.save_checkpoint(tmp_path / "a.ckpt")
    checkpoint = torch.load(tmp_path / "a.ckpt", weights_only=False)
    fit = checkpoint.get("loops", {}).get("fit_loop", {})
    for key, counts in (("epoch_loop.batch_progress", ("total", "current", "is_last_batch")), ("epoch_progress", ())):
        assert key in fit and all(name in fit[key] for name in counts), f"{key}: fix resume_epochs_from_loader"
    counted = {"ready", "started", "processed", "completed"}
    assert fit["epoch_progress"]["total"].keys() == counted, "names of counts: fix resume_epochs_from_loader"
    resume_epochs_from_loader(checkpoint | {"DataModule": {"epoch": 0}})
    assert fit["epoch_progress"]["current"] == dict.fromkeys(counted, 1)


def test_private_name_of_the_wandb_logger() -> None:
    source = inspect.getsource(WandbLogger)
    assert "self._experiment" in source, "WandbLogger._experiment: fix started_run"
