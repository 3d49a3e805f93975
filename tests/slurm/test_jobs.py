"""The real commands as jobs of a real SLURM on this machine."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from ..integration.conftest import LIGHT, finished, process
from ..integration.test_resume import rows
from .conftest import SCRIPTS

pytestmark = pytest.mark.usefixtures("slurm")
STEPS = 1000
SMALL = ["compute.gpus=null", "compute.memory=1", "compute.cpus=1", "compute.minutes=30"]


@pytest.fixture
def line(tmp_path: Path) -> list[str]:
    """A training on nine images of its own, a checkpoint at every tenth step."""
    images = ["data=synthetic", f"data.root={tmp_path / 'set'}", "data.dataset.images=12", "data.dataset.image_size=32"]
    steps = [f"trainer.max_steps={STEPS}", "callbacks.last.every_n_train_steps=10"]
    return [*LIGHT, *images, *steps, "data.batch_size=2", "supervision=full", "evaluate=[]"]


def say(*words: object) -> str:
    """What one of SLURM's own commands prints."""
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, check=True).stdout


def wait_for(happens: Callable[[], object], seconds: int = 200) -> None:
    end = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < end
        time.sleep(0.2)


def jobs(name: str) -> list[list[str]]:
    """Number, state and reason of the jobs of that name."""
    return [row.split() for row in say("squeue", "--noheader", "--name", name, "--format=%i %t %r").splitlines()]


def start_again(name: str) -> None:
    """Once the job was requeued; SLURM would hold it for two minutes."""
    wait_for(lambda: [state for _, state, reason in jobs(name) if state == "PD" and reason == "BeginTime"])
    say("scontrol", "update", f"JobId={jobs(name)[0][0]}", "StartTime=now")


def same_training(one: Path, other: Path) -> bool:
    """Whether two runs ended with the same weights and moments, to the last bit, and logged each step once."""
    states = [torch.load(run / "checkpoints" / "last.ckpt", weights_only=True) for run in (one, other)]
    assert [state["global_step"] for state in states] == [STEPS, STEPS]
    moments = [state["optimizer_states"][0]["state"] for state in states]
    weights = [state["state_dict"] for state in states]
    equal = all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    equal &= all(torch.equal(moments[0][i]["exp_avg"], moments[1][i]["exp_avg"]) for i in moments[0])
    return equal and rows(one) == rows(other)


def test_a_sweep_is_an_array_of_jobs(line: list[str], tmp_path: Path) -> None:
    sweep = [*line, "compute=slurm", *SMALL, "trainer.max_steps=10", "seed=0,1,2", "hydra.sweep.dir=sweep"]
    done = finished(process("train", *sweep, cwd=tmp_path))
    assert done.status == 0, done
    steps = [
        torch.load(tmp_path / "sweep" / job / "checkpoints" / "last.ckpt", weights_only=True)["global_step"]
        for job in "012"
    ]
    assert steps == [10, 10, 10]
    assert len(list((tmp_path / "sweep" / ".submitit").glob("*_[012]"))) == 3


@pytest.mark.parametrize(
    ("compute", "alone"),
    [
        (["compute=slurm", "compute.cpus=4"], []),
        (["compute=slurm_ddp", "compute.cpus=2"], ["compute=ddp", "trainer.devices=2"]),
    ],
    ids=["one", "two"],
)
def test_a_preempted_job_ends_as_if_nothing_had_happened(
    compute: list[str], alone: list[str], line: list[str], tmp_path: Path
) -> None:
    whole = finished(process("train", *line, *alone, "hydra.run.dir=whole", cwd=tmp_path))
    assert whole.status == 0, whole
    name = f"hydra.launcher.name={tmp_path.name}"
    job = process("train", *line, *SMALL, *compute, name, "hydra.sweep.dir=sweep", cwd=tmp_path)
    run = tmp_path / "sweep" / "0"
    wait_for((run / "checkpoints" / "last.ckpt").exists)
    say("sbatch", "--partition=urgent", "--cpus-per-task=4", "--output=/dev/null", "--wrap=sleep 1")
    start_again(tmp_path.name)
    done = finished(job)
    assert done.status == 0, done
    said = (run / "train.log").read_text()
    assert "SIGUSR2: saved at step" in said and "Requeued job" in said and "goes on from step" in said
    assert same_training(tmp_path / "whole", run)
    assert sorted(path.name for path in (tmp_path / "sweep").iterdir() if path.is_dir()) == [".submitit", "0"]


def test_a_batch_script_does_as_much(line: list[str], tmp_path: Path) -> None:
    whole = finished(process("train", *line, "hydra.run.dir=whole", cwd=tmp_path))
    assert whole.status == 0, whole
    few = ["--gpus-per-node=0", "--cpus-per-task=4", "--mem=1G", f"--job-name={tmp_path.name}", f"--chdir={tmp_path}"]
    number = say("sbatch", "--parsable", *few, SCRIPTS / "train.sbatch", *line).strip()
    run = tmp_path / "logs" / "train" / f"slurm-{number}"
    wait_for((run / "checkpoints" / "last.ckpt").exists)
    say("sbatch", "--partition=urgent", "--cpus-per-task=4", "--output=/dev/null", "--wrap=sleep 1")
    start_again(tmp_path.name)
    wait_for(lambda: not jobs(tmp_path.name))
    assert "goes on from step" in (run / "train.log").read_text()
    assert same_training(tmp_path / "whole", run)


def test_a_failing_job_says_why_in_one_line(tmp_path: Path) -> None:
    line = ["compute=slurm", *SMALL, "data=folder", "data.root=nowhere", "hydra.sweep.dir=sweep"]
    done = finished(process("train", *line, cwd=tmp_path))
    assert done.status == 1
    assert done.complaints[-1] == "fovea-train: data.root: no such folder nowhere; name the folder that holds images/"
    assert "Traceback" not in done.stderr + done.stdout


def test_an_unknown_partition_is_refused_in_one_line(line: list[str], tmp_path: Path) -> None:
    done = finished(process("train", *line, "compute=slurm", *SMALL, "compute.partition=gpuu", cwd=tmp_path))
    assert done.status == 1
    assert done.complaints[-1].startswith(
        "fovea-train: sbatch does not take the job: invalid partition specified: gpuu"
    )
    assert "Traceback" not in done.stderr + done.stdout
