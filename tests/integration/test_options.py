"""Options of the training step, of its weights and of its record, through the real commands."""

import shutil
from pathlib import Path

import pytest
import torch
from pytorch_lightning import Trainer

from fovea.engine.callbacks.last import Last

from .conftest import LIGHT, STEPS, Run, folder, summary

FULL = [*LIGHT, "supervision=full", "hydra.run.dir=run"]


def weights(path: Path, key: str = "state_dict") -> dict[str, torch.Tensor]:
    return {name: value.double() for name, value in torch.load(path, weights_only=True)[key].items()}


def test_averaged_weights_are_kept_validated_and_gone_on_beside(
    run: Run, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = Last.save

    def keep(self: Last, trainer: Trainer) -> None:
        save(self, trainer)
        shutil.copy(self.path, self.path.with_name(f"step={trainer.global_step}.ckpt"))

    monkeypatch.setattr(Last, "save", keep)
    line = [*folder(made), *FULL, "callbacks.last.every_n_train_steps=1"]
    line += ["callbacks=ema", "callbacks.ema.decay=0.6"]
    assert run("train", *line).status == 0
    folder_of_run = tmp_path / "run" / "checkpoints"
    each = [weights(folder_of_run / f"step={n}.ckpt", "current_model_state") for n in range(1, STEPS + 1)]
    naive = each[0]
    for current in each[1:]:
        naive = {name: 0.6 * naive[name] + 0.4 * value for name, value in current.items()}
    last = folder_of_run / "last.ckpt"
    torch.testing.assert_close(weights(last), naive, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(weights(last, "current_model_state"), each[-1], rtol=0, atol=0)
    torch.testing.assert_close(weights(folder_of_run / "best.ckpt"), naive, rtol=1e-5, atol=1e-7)

    done = run("evaluate", f"checkpoint={last}", *folder(made), "data.num_workers=0", "out=out")
    assert done.status == 0
    assert summary(tmp_path / "out")["dice"] == summary(tmp_path / "run" / "evaluate" / "val")["dice"]


def test_a_run_without_a_step_left_to_do_still_leaves_a_checkpoint(run: Run, made: Path, tmp_path: Path) -> None:
    assert run("train", *folder(made), *FULL, "callbacks=ema", "evaluate=[]").status == 0
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    line = ["callbacks=ema", "evaluate=[]", f"ckpt_path={last}", "hydra.run.dir=other"]
    assert run("train", *folder(made), *FULL, *line).status == 0
    for key in ("state_dict", "current_model_state"):
        torch.testing.assert_close(weights(tmp_path / "other" / "checkpoints" / "last.ckpt", key), weights(last, key))


def test_tensorboard_records_beside_the_csv(run: Run, made: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    done = run("train", *folder(made), *FULL, "logger=tensorboard", "evaluate=[]")
    assert done.status == 0 and done.complaints == []
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("train/loss")] == list(range(STEPS))
    assert len(events.Scalars("val/dice")) == 1
    assert "lr: 0.01" in (tmp_path / "run" / "tensorboard" / "hparams.yaml").read_text()
    assert (tmp_path / "run" / "metrics.csv").is_file()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("trainer.precision=16-mixed", "trainer.precision=16-mixed needs a GPU"),
        ("trainer.precision=bf16", "trainer.precision=bf16 is unknown; choose 32-true"),
        ("compile=maybe", "compile=maybe is neither true nor false"),
    ],
)
def test_what_the_machine_cannot_do_is_refused_first(run: Run, made: Path, option: str, message: str) -> None:
    done = run("train", *folder(made), *FULL, option)
    assert message in done.refusal("train")
    assert "trains on" not in done.stdout


def test_without_a_compiler_the_refusal_is_one_line(run: Run, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._inductor import config

    monkeypatch.setattr(config.cpp, "cxx", (None, "no-such-compiler"))
    monkeypatch.setenv("CXX", "no-such-compiler")
    line = run("train", *folder(made), *FULL, "compile=true").refusal("train")
    assert "compile=true: torch.compile does not work here on cpu" in line
    assert "no-such-compiler" in line and line.endswith("or set compile=false")


def test_reduced_precision_and_channels_last_train_and_evaluate(run: Run, made: Path, tmp_path: Path) -> None:
    done = run("train", *folder(made), *FULL, "trainer.precision=bf16-mixed", "channels_last=true")
    assert done.status == 0 and done.complaints == []
    saved = torch.load(tmp_path / "run" / "checkpoints" / "best.ckpt", weights_only=True)
    assert {value.dtype for value in saved["state_dict"].values() if value.is_floating_point()} == {torch.float32}
    assert summary(tmp_path / "run" / "evaluate" / "val")["n"] == 2
