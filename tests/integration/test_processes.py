"""Trainings in processes of their own: killed by SIGKILL, two that train as one job, sweeps of such."""

import csv
import json
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch

from .commands import LIGHT, TWO, Result, Run, finished, folder, kill_when, last, process, same_weights
from .wandb_records import read

pytestmark = pytest.mark.slow

STEPS = 12
TRACKED = ["logger=wandb", "logger.wandb.offline=true"]


@pytest.fixture
def line(root: Path) -> list[str]:
    """Return the overrides of three batches an epoch, 3 val images, a checkpoint at every second step."""
    (root / "val.txt").write_text("g\nh\ni\n")
    (root / "test.txt").write_text("j\n")
    steps = [f"trainer.max_steps={STEPS}", "trainer.val_check_interval=5", "callbacks.last.every_n_train_steps=2"]
    return [*folder(root), *LIGHT, *steps, "data.batch_size=2", "supervision=full", "ckpt_path=auto", "evaluate=[]"]


def kill_after_a_save(started: subprocess.Popen[str], run: Path, sent: signal.Signals = signal.SIGKILL) -> Result:
    """Send a signal to a training once it has saved its last checkpoint."""
    path = run / "checkpoints" / "last.ckpt"
    before = path.exists() and path.stat().st_mtime_ns
    result = kill_when(started, lambda: path.exists() and path.stat().st_mtime_ns != before, sent)
    assert not (run / "training.json").exists()
    return result


def ended(run: Path) -> bool:
    """Return whether no process works in this run folder any more."""
    lines = (path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline"))
    return not any(str(run).encode() in line for line in lines)


def column(path: Path, name: str) -> list[float]:
    with path.open() as file:
        return [float(row[name]) for row in csv.DictReader(file) if row.get(name)]


def test_two_processes_resume_to_the_same_weights(line: list[str], tmp_path: Path) -> None:
    sweep = ["--multirun", *line, *TWO, "seed=0,1", "evaluate=[val]"]
    whole = finished(process("train", *sweep, "hydra.sweep.dir=whole", cwd=tmp_path))
    assert whole.status == 0 and whole.errors == [], whole
    assert sorted(path.name for path in (tmp_path / "whole").iterdir()) == ["0", "1", "multirun.yaml"]
    assert {path.name for path in tmp_path.iterdir()} == {"root", "whole"}
    single = [*line, *TWO, f"hydra.run.dir={tmp_path}/killed"]
    kill_after_a_save(process("train", *single, cwd=tmp_path), tmp_path / "killed")
    for _ in range(100):  # the second process notices that the first is gone
        if ended(tmp_path / "killed"):
            break
        time.sleep(0.1)
    result = kill_after_a_save(process("train", *single, cwd=tmp_path), tmp_path / "killed", signal.SIGTERM)
    hint = f"the same command with hydra.run.dir={tmp_path}/killed ckpt_path=auto resumes it"
    assert result.errors == [f"fovea-train: interrupted by SIGTERM; {hint}"] and ended(tmp_path / "killed"), result
    assert json.loads((tmp_path / "killed" / "failure.json").read_text())["reason"] == "SIGTERM"
    result = finished(process("train", *single, cwd=tmp_path))
    assert result.status == 0, result
    assert last(tmp_path / "killed")["global_step"] == STEPS
    assert same_weights(tmp_path / "killed", tmp_path / "whole" / "0")
    assert not same_weights(tmp_path / "whole" / "0", tmp_path / "whole" / "1")
    # The mean over three val images on two processes is that of one process.
    best = max(column(tmp_path / "whole" / "0" / "metrics.csv", "val/dice"))
    summary = json.loads((tmp_path / "whole" / "0" / "evaluate" / "val" / "summary.json").read_text())
    assert summary["n"] == 3 and best == pytest.approx(summary["dice"]["mean"], abs=1e-7)


def test_half_a_batch_on_two_processes_is_a_batch_on_one(run: Run, line: list[str], tmp_path: Path) -> None:
    """Batch size is per process, and no learning rate depends on the number of processes."""
    steps = [key for key in line if not key.startswith(("data.batch_size", "trainer.max_steps"))]
    steps += ["trainer.max_steps=4", "optimizer=sgd", "optimizer.lr=0.05"]
    two = finished(process("train", *steps, *TWO, "data.batch_size=2", *TRACKED, "hydra.run.dir=two", cwd=tmp_path))
    assert two.status == 0, two
    assert len([row for row in read(tmp_path / "two")["history"] if "train/loss" in row]) == 4  # of the first process
    assert "4 images per step: batches of 2 on each of 2 processes" in two.stdout
    one = run("train", *steps, "data.batch_size=4", "hydra.run.dir=one")
    assert one.status == 0 and "4 images per step\n" in one.stdout
    ends = [last(tmp_path / name) for name in ("one", "two")]
    assert [end["epoch"] for end in ends] == [1, 1]  # 6 images: the second batch has 1 on each process, or 2
    for name, tensor in ends[0]["state_dict"].items():
        torch.testing.assert_close(ends[1]["state_dict"][name], tensor, rtol=1e-4, atol=1e-6)
    training = [json.loads((tmp_path / name / "training.json").read_text()) for name in ("one", "two")]
    assert [(run["images_per_step"], run["processes"], run["steps"]) for run in training] == [(4, 1, 4), (4, 2, 4)]
    rates = [column(tmp_path / name / "metrics.csv", "lr-SGD") for name in ("one", "two")]
    assert rates[0] == rates[1] == [0.05] * 4
