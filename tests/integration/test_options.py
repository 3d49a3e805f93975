"""Options of training through the real commands: averaged weights, loggers, precision, compilation."""

import shutil
from pathlib import Path

import pytest
import torch
from pytorch_lightning import Trainer

from fovea.engine.callbacks.last import Last

from .commands import LIGHT, STEPS, Run, folder, metrics, summary

pytestmark = pytest.mark.slow

FULL = [*LIGHT, "supervision=full", "hydra.run.dir=run"]


def weights(path: Path, key: str = "state_dict") -> dict[str, torch.Tensor]:
    return {name: value.double() for name, value in torch.load(path, weights_only=True)[key].items()}


def test_averaged_weights_are_validated_and_saved(
    run: Run, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = Last.save

    def keep(self: Last, trainer: Trainer) -> None:
        save(self, trainer)
        shutil.copy(self.path, self.path.with_name(f"step={trainer.global_step}.ckpt"))

    monkeypatch.setattr(Last, "save", keep)
    line = [*folder(dataset), *FULL, "callbacks.last.every_n_train_steps=1"]
    line += ["callbacks=ema", "callbacks.ema.decay=0.6"]
    assert run("train", *line).status == 0
    checkpoints = tmp_path / "run" / "checkpoints"
    steps = [weights(checkpoints / f"step={n}.ckpt", "current_model_state") for n in range(1, STEPS + 1)]
    naive = steps[0]
    for current in steps[1:]:
        naive = {name: 0.6 * naive[name] + 0.4 * value for name, value in current.items()}
    last = checkpoints / "last.ckpt"
    torch.testing.assert_close(weights(last), naive, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(weights(last, "current_model_state"), steps[-1], rtol=0, atol=0)
    torch.testing.assert_close(weights(checkpoints / "best.ckpt"), naive, rtol=1e-5, atol=1e-7)

    result = run("evaluate", f"checkpoint={last}", *folder(dataset), "data.num_workers=0", "out=out")
    assert result.status == 0
    assert summary(tmp_path / "out")["dice"] == summary(tmp_path / "run" / "evaluate" / "val")["dice"]
    line = [*line, "evaluate=[]", f"ckpt_path={last}", "hydra.run.dir=other"]
    assert run("train", *line).status == 0  # with no step left it saves a checkpoint
    other = tmp_path / "other" / "checkpoints" / "last.ckpt"
    for key in ("state_dict", "current_model_state"):
        torch.testing.assert_close(weights(other, key), weights(last, key))


def test_tensorboard_records_beside_the_csv(run: Run, dataset: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    result = run("train", *folder(dataset), *FULL, "logger=tensorboard", "evaluate=[]")
    assert result.status == 0 and result.errors == []
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("train/loss")] == list(range(STEPS))
    assert len(events.Scalars("val/dice")) == 1
    assert "lr: 0.01" in (tmp_path / "run" / "tensorboard" / "hparams.yaml").read_text()
    assert (tmp_path / "run" / "metrics.csv").is_file()


def test_reduced_precision_and_channels_last(run: Run, dataset: Path, tmp_path: Path) -> None:
    result = run("train", *folder(dataset), *FULL, "trainer.precision=bf16-mixed", "channels_last=true")
    assert result.status == 0 and result.errors == [], result
    saved = torch.load(tmp_path / "run" / "checkpoints" / "best.ckpt", weights_only=True)
    assert {value.dtype for value in saved["state_dict"].values() if value.is_floating_point()} == {torch.float32}
    assert summary(tmp_path / "run" / "evaluate" / "val")["n"] == 2


def test_progress_metrics_and_a_schedule_of_epochs(run: Run, dataset: Path, tmp_path: Path) -> None:
    auroc = "+metrics.auroc={_target_: torchmetrics.classification.BinaryAUROC, thresholds: 64}"
    line = [*folder(dataset), *FULL, "scheduler=per_epoch", "scheduler.schedule.step_size=1", auroc]
    line = [option for option in line if option not in ("callbacks.progress=null", "scheduler=constant")]
    result = run("train", *line, "callbacks.progress.refresh_rate=1")
    assert result.status == 0 and result.errors == [], result
    assert f"| {STEPS}/{STEPS} [" in result.stderr and "loss=" in result.stderr and "dice=" in result.stderr
    rows = metrics(tmp_path / "run")
    assert [float(row["lr-AdamW"]) for row in rows if "lr-AdamW" in row] == pytest.approx([0.01, 0.01, 0.001])
    [logged] = [float(row["val/auroc"]) for row in rows if "val/auroc" in row]
    scores = summary(tmp_path / "run" / "evaluate" / "val")
    assert 0 < logged < 1 and scores["metrics"] == {"auroc": pytest.approx(logged, abs=1e-5)}
    again = run("evaluate", f"checkpoint={tmp_path}/run/checkpoints/best.ckpt", "out=out")
    assert again.status == 0 and summary(tmp_path / "out")["metrics"] == scores["metrics"]
