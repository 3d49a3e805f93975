"""The Trainer of a configuration, and the length of its epochs."""

import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import LambdaCallback, ModelCheckpoint
from torch import ones
from torch.nn import Linear
from torch.utils.data import DataLoader

from fovea.engine.segmenter import Segmenter
from fovea.engine.train import fit, make_trainer
from fovea.runtime.app import interrupt

from .test_finite import CONFIG, Line

TRAINER = {"_target_": "pytorch_lightning.Trainer", "accelerator": "cpu", "enable_model_summary": False}
STEP_LR = {"_target_": "torch.optim.lr_scheduler.StepLR", "_partial_": True, "step_size": 1, "gamma": 0.5}


def trainer(folder: Path, **settings: Any) -> pl.Trainer:
    config = {"callbacks": {}, "run_dir": str(folder), "trainer": TRAINER | settings}
    return make_trainer(config, SimpleNamespace(val=SimpleNamespace(ids=["a"])), [])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("limits", "interval", "accumulated", "batches"),
    [
        *(({"max_steps": 5}, 2, 1, 2), ({"max_steps": 5}, 2, 4, 8)),
        *(({"max_steps": 5}, 9, 1, 5), ({"max_steps": 5}, 9, 4, 16), ({"max_epochs": 2}, 99, 1, 12)),
    ],
)
def test_validations_count_steps_and_there_is_one(
    tmp_path: Path, limits: dict[str, int], interval: int, accumulated: int, batches: int
) -> None:
    """An epoch has six batches: with four a step, two steps."""
    segmenter = Segmenter(Line(), CONFIG, lambda mode: mode)  # type: ignore[arg-type,return-value]
    settings = {"val_check_interval": interval, "check_val_every_n_epoch": None, "enable_checkpointing": False}
    made = trainer(tmp_path, accumulate_grad_batches=accumulated, **settings, **limits)
    made.fit(segmenter, DataLoader(ones(6, 1)))
    assert made.val_check_batch == batches


def test_only_callbacks_that_monitor_val_are_left_out_without_val_images(tmp_path: Path) -> None:
    best = {"_target_": "pytorch_lightning.callbacks.ModelCheckpoint", "dirpath": str(tmp_path)}
    callbacks = {name: best | {"filename": name, "monitor": f"{name}/loss"} for name in ("val", "train")}
    config = {"callbacks": callbacks, "run_dir": str(tmp_path), "trainer": TRAINER}
    made = make_trainer(config, SimpleNamespace(val=SimpleNamespace(ids=[])), [])  # type: ignore[arg-type]
    assert [call.monitor for call in made.checkpoint_callbacks if isinstance(call, ModelCheckpoint)] == ["train/loss"]


@pytest.mark.parametrize("name", ["callbacks", "default_root_dir", "logger", "plugins", "use_distributed_sampler"])
def test_an_argument_that_would_be_ignored_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=f"^trainer.{name} cannot be chosen: fovea sets this argument; remove"):
        trainer(tmp_path, **{name: None})


def test_several_nodes_need_a_launcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the first node would wait half an hour for the others."""
    monkeypatch.delenv("MASTER_PORT", raising=False)
    with pytest.raises(ValueError, match=r"^trainer.num_nodes=2: nothing starts the processes of other nodes; start"):
        trainer(tmp_path, num_nodes=2)
    monkeypatch.setenv("MASTER_PORT", "29500")
    assert trainer(tmp_path, num_nodes=2).num_nodes == 2


class Rates(pl.Callback):
    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: Any, optimizer: Any) -> None:
        self.seen.append(optimizer.param_groups[0]["lr"])


def test_the_last_step_of_an_epoch_counts_if_it_accumulates_fewer_batches(tmp_path: Path) -> None:
    per_epoch = {"_target_": "fovea.engine.schedules.per_epoch", "_partial_": True, "schedule": STEP_LR}
    segmenter, rates = Segmenter(Line(), CONFIG | {"scheduler": per_epoch}, lambda mode: mode), Rates()  # type: ignore[arg-type,return-value]
    made = trainer(tmp_path, max_steps=6, accumulate_grad_batches=4, enable_checkpointing=False)
    made.callbacks.append(rates)  # type: ignore[attr-defined]
    made.fit(segmenter, DataLoader(ones(6, 1)))
    assert rates.seen == pytest.approx([1e-9, 1e-9, 5e-10, 5e-10, 2.5e-10, 2.5e-10])


def test_a_training_that_stops_keeps_its_current_weights_beside_their_average(tmp_path: Path) -> None:
    """Lightning puts the average in their place at the end of a training."""
    ema = {"_target_": "pytorch_lightning.callbacks.EMAWeightAveraging", "decay": 0.5}
    last = {"_target_": "fovea.engine.callbacks.last.Last", "dirpath": str(tmp_path), "every_n_train_steps": 100}
    optimizer = {"_target_": "torch.optim.SGD", "_partial_": True, "lr": 1.0}
    config = {"callbacks": {"ema": ema, "last": last}, "run_dir": str(tmp_path), "trainer": TRAINER | {"max_steps": 6}}
    made = make_trainer(config, SimpleNamespace(val=SimpleNamespace(ids=["a"])), [])  # type: ignore[arg-type]
    stop = LambdaCallback(on_train_batch_end=lambda *args: setattr(made, "should_stop", made.global_step == 3))
    made.callbacks.append(stop)  # type: ignore[attr-defined]
    made.fit(Segmenter(Line(), CONFIG | {"optimizer": optimizer}, lambda mode: mode), DataLoader(ones(9, 1)))  # type: ignore[arg-type,return-value]
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)
    [current], [average] = saved["current_model_state"].values(), saved["state_dict"].values()
    assert saved["global_step"] == 3 and (float(current), float(average)) == (-2.0, -1.25)  # of 0, -1 and -2


def test_parameters_that_no_loss_reaches_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for extra in (False, True):
        line = Line()
        if extra:
            line.idle = Linear(1, 1, bias=False)
        trainer(tmp_path, max_steps=2).fit(Segmenter(line, CONFIG, lambda mode: mode), DataLoader(ones(6, 1)))  # type: ignore[arg-type,return-value]
        warned = [text for record in caplog.records if "gradient" in (text := record.getMessage())]
        assert len(warned) == extra and ("1 parameters get no gradient (idle.weight)" in caplog.text) == extra


def test_a_training_without_a_length_is_refused(tmp_path: Path) -> None:
    segmenter = Segmenter(Line(), CONFIG, lambda mode: mode)  # type: ignore[arg-type,return-value]
    made = trainer(tmp_path, max_steps=-1, max_time="00:00:01:00", enable_checkpointing=False)
    with pytest.raises(ValueError, match=r"^trainer.max_steps=-1: "):
        made.fit(segmenter, DataLoader(ones(6, 1)))


def test_an_evaluation_that_another_process_made_during_the_training_is_set_aside(tmp_path: Path) -> None:
    made = trainer(tmp_path, max_steps=2)
    made.callbacks.append(LambdaCallback(on_train_batch_end=lambda *_: (tmp_path / "evaluate").mkdir(exist_ok=True)))  # type: ignore[attr-defined]
    data = pl.LightningDataModule.from_datasets(ones(6, 1))
    data.training, data.batch_size = SimpleNamespace(labels={}), 1  # type: ignore[attr-defined]
    fit(made, Segmenter(Line(), CONFIG, lambda mode: mode), data, None, None)  # type: ignore[arg-type,return-value]
    assert (tmp_path / "evaluate.1").is_dir() and not (tmp_path / "evaluate").exists()


@pytest.mark.usefixtures("as_in_a_shell")
@pytest.mark.parametrize(("sent", "steps"), [(signal.SIGINT, 0), (signal.SIGHUP, 0), (signal.SIGTERM, 1)])
def test_a_signal_ends_a_training_as_it_does_other_commands(sent: signal.Signals, steps: int, tmp_path: Path) -> None:
    """Lightning ends the step after SIGTERM; before and after the training, our handler takes it."""
    made, seen = trainer(tmp_path, max_steps=3), []
    send = LambdaCallback(on_train_batch_start=lambda *args: signal.raise_signal(sent))
    made.callbacks += [LambdaCallback(setup=lambda *args, **stage: seen.append(signal.getsignal(signal.SIGTERM))), send]
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    data = pl.LightningDataModule.from_datasets(ones(6, 1))
    with pytest.raises(KeyboardInterrupt, match="^$" if sent == signal.SIGINT else f"^{sent.name}$"):
        fit(made, Segmenter(Line(), CONFIG, lambda mode: mode), data, None, None)  # type: ignore[arg-type,return-value]
    assert made.global_step == steps and seen == [interrupt]
    for number in (signal.SIGTERM, signal.SIGHUP):  # further ones do not disturb the end
        signal.raise_signal(number)
