"""Real processes: killed by SIGKILL, two that train as one, and sweeps of such."""

import csv
import hashlib
import json
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch

from .conftest import LIGHT, Run, finished, folder, process

STEPS = 40
TWO = ["compute=ddp", "trainer.devices=2"]


@pytest.fixture
def line(root: Path) -> list[str]:
    """A training of two batches an epoch, 3 val images, a checkpoint at every second step."""
    (root / "val.txt").write_text("g\nh\ni\n")
    (root / "test.txt").write_text("j\n")
    steps = [f"trainer.max_steps={STEPS}", "trainer.val_check_interval=9", "callbacks.last.every_n_train_steps=2"]
    return [*folder(root), *LIGHT, *steps, "data.batch_size=2", "supervision=full", "ckpt_path=auto", "evaluate=[]"]


def weights(run: Path) -> str:
    """A hash of all weights and of the optimiser's state."""
    state = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert state["global_step"] == STEPS
    found = hashlib.sha256()
    for tensor in state["state_dict"].values():
        found.update(tensor.numpy().tobytes())
    for moments in state["optimizer_states"][0]["state"].values():
        found.update(moments["exp_avg_sq"].numpy().tobytes())
    return found.hexdigest()


def kill_when(started: subprocess.Popen[str], file: Path) -> None:
    """SIGKILL, as soon as the file has come and been written anew a few times."""
    seen: set[int] = set()
    while started.poll() is None and len(seen) < 3:
        if file.exists():
            seen.add(file.stat().st_mtime_ns)
        time.sleep(0.002)
    assert started.poll() is None, finished(started)
    started.send_signal(signal.SIGKILL)
    started.communicate()


def alone(run: Path) -> bool:
    """Whether no process works in this run folder any more."""
    lines = (path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline"))
    return not any(str(run).encode() in each for each in lines)


def test_a_sweep_killed_and_started_again_ends_with_the_same_weights(line: list[str], tmp_path: Path) -> None:
    sweep = ["--multirun", *line, "seed=0,1"]
    whole = finished(process("train", *sweep, "hydra.sweep.dir=whole", cwd=tmp_path))
    assert whole.status == 0, whole
    kill_when(  # in its second job
        process("train", *sweep, "hydra.sweep.dir=killed", cwd=tmp_path),
        tmp_path / "killed" / "1" / "checkpoints" / "last.ckpt",
    )
    assert not (tmp_path / "killed" / "1" / "training.json").exists()
    again = finished(process("train", *sweep, "hydra.sweep.dir=killed", cwd=tmp_path))
    assert again.status == 0, again
    for job in "01":
        assert weights(tmp_path / "whole" / job) == weights(tmp_path / "killed" / job)


def test_half_a_batch_on_each_of_two_processes_is_a_batch_on_one(run: Run, line: list[str], tmp_path: Path) -> None:
    """`data.batch_size` is that of each process, and no learning rate depends on how many there are."""
    kept = [each for each in line if not each.startswith(("data.batch_size", "trainer.max_steps"))]
    steps = [*kept, "trainer.max_steps=4", "optimizer=sgd", "optimizer.lr=0.05"]
    two = finished(process("train", *steps, *TWO, "data.batch_size=2", "hydra.run.dir=two", cwd=tmp_path))
    assert two.status == 0, two
    assert "4 images a step: batches of 2 on each of 2 processes; optimizer.lr is taken as it is" in two.stdout
    one = run("train", *steps, "data.batch_size=4", "hydra.run.dir=one")
    assert one.status == 0 and "4 images a step\n" in one.stdout
    ends = [torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True) for name in ("one", "two")]
    assert [each["epoch"] for each in ends] == [1, 1]  # 6 images, so that the second batch has 1 on each process, or 2
    for name, tensor in ends[0]["state_dict"].items():
        torch.testing.assert_close(ends[1]["state_dict"][name], tensor, rtol=1e-4, atol=1e-6)
    told = [json.loads((tmp_path / name / "training.json").read_text()) for name in ("one", "two")]
    assert [(each["images_per_step"], each["processes"], each["steps"]) for each in told] == [(4, 1, 4), (4, 2, 4)]
    rates = [csv_column(tmp_path / name / "metrics.csv", "lr-SGD") for name in ("one", "two")]
    assert rates[0] == rates[1] == [0.05] * 4


def csv_column(path: Path, name: str) -> list[float]:
    """The numbers in a column of a table."""
    with path.open() as file:
        return [float(row[name]) for row in csv.DictReader(file) if row[name]]


def test_two_processes_train_as_one_job_and_go_on_exactly(line: list[str], tmp_path: Path) -> None:
    sweep = ["--multirun", *line, *TWO, "seed=0,1", "evaluate=[val]"]
    whole = finished(process("train", *sweep, "hydra.sweep.dir=whole", cwd=tmp_path))
    assert whole.status == 0 and whole.complaints == [], whole
    assert sorted(path.name for path in (tmp_path / "whole").iterdir()) == ["0", "1", "multirun.yaml"]
    assert {path.name for path in tmp_path.iterdir()} == {"root", "whole"}
    kill_when(
        process("train", *line, *TWO, "hydra.run.dir=killed", cwd=tmp_path),
        tmp_path / "killed" / "checkpoints" / "last.ckpt",
    )
    for _ in range(100):  # the second process sees that it is alone
        if alone(tmp_path / "killed"):
            break
        time.sleep(0.1)
    again = finished(process("train", *line, *TWO, "hydra.run.dir=killed", cwd=tmp_path))
    assert again.status == 0, again
    assert weights(tmp_path / "killed") == weights(tmp_path / "whole" / "0") != weights(tmp_path / "whole" / "1")
    # Three val images on two processes: the mean is that of one process.
    rows = (tmp_path / "whole" / "0" / "metrics.csv").read_text().splitlines()
    place = rows[0].split(",").index("val/dice")
    best = max(float(row.split(",")[place]) for row in rows[1:] if row.split(",")[place])
    summary = json.loads((tmp_path / "whole" / "0" / "evaluate" / "val" / "summary.json").read_text())
    assert summary["n"] == 3 and best == pytest.approx(summary["dice"]["mean"], abs=1e-7)
