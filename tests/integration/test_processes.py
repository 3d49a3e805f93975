"""Real processes: killed by SIGKILL, two that train as one, and sweeps of such."""

import hashlib
import json
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch

from .conftest import LIGHT, finished, folder, process

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
