"""The real commands as jobs of a real SLURM on this machine."""

import json
import pickle
import shutil
import subprocess
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch

from ..integration.conftest import LIGHT, finished, folder, gaze, made, process
from ..integration.test_restart import files
from ..integration.test_resume import rows, same
from .conftest import SCRIPTS

__all__ = ["made"]  # a fixture
pytestmark = pytest.mark.usefixtures("slurm")
STEPS = 12
ASKED = 6  # steps before the one in which a job is preempted; its last checkpoint is two steps old by then
CPU = ["compute.gpus=null", "compute.memory=1", "compute.cpus=1", "compute.minutes=30"]
Whole = Callable[[int], Path]


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A training on nine images of its own, which waits for the scheduler where it is a job."""
    root = tmp_path_factory.mktemp("images") / "set"
    images = ["data=synthetic", f"data.root={root}", "data.dataset.images=12", "data.dataset.image_size=32"]
    steps = [f"trainer.max_steps={STEPS}", "callbacks.last.every_n_train_steps=4"]
    wait = ["+callbacks.waiting._target_=waiting.Waiting", f"+callbacks.waiting.after={ASKED}"]
    agree = "callbacks.preemption.agree_every_n_steps=2"
    return [*LIGHT, *images, *steps, *wait, agree, "data.batch_size=2", "supervision=full", "evaluate=[]"]


@pytest.fixture(scope="module")
def whole(line: list[str], tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """The run folder of that training by so many processes, without SLURM and without a stop."""

    @cache
    def train(processes: int) -> Path:
        run = tmp_path_factory.mktemp("whole") / "run"
        several = ["compute=ddp", f"trainer.devices={processes}"] if processes > 1 else []
        done = finished(process("train", *line, *several, f"hydra.run.dir={run}", cwd=run.parent))
        assert done.status == 0, done
        return run

    return train


def say(*words: object) -> str:
    """What one of SLURM's own commands prints."""
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, check=True).stdout


def jobs(name: str) -> list[list[str]]:
    """Number, state and reason of the jobs of that name, those that ended too."""
    printed = say("squeue", "--noheader", "--states=all", "--name", name, "--format=%i %T %r")
    return [row.split() for row in printed.splitlines()]


def wait_for(happens: Callable[[], object], name: str, seconds: int = 900) -> None:
    """Wait, for as long as the jobs of that name have not ended; the limit is for a machine that does much else."""
    end, ended = time.monotonic() + seconds, False
    while not happens():
        assert not ended and time.monotonic() < end, say("scontrol", "show", "jobs")
        time.sleep(0.2)
        states = [state for _, state, _ in jobs(name)]
        ended = bool(states) and {"COMPLETED", "FAILED", "CANCELLED"}.issuperset(states)


def preempt(name: str, run: Path) -> None:
    """Once the job of that name waits, take its place for a moment.

    SLURM would then hold it for two minutes. It may be let go sooner, but not in the second in which its node was taken
    from it: in that one the node holds the new start for the old ("Job credential revoked"), and the job fails.
    """
    wait_for((run / "waiting").exists, name)
    say("sbatch", "--partition=urgent", "--nodes=2", "--exclusive", "--output=/dev/null", "--wrap=true")
    wait_for(lambda: jobs(name)[0][1:] == ["PENDING", "BeginTime"], name)
    say("scontrol", "update", f"JobId={jobs(name)[0][0]}", "StartTime=now+3")


def check(whole: Path, run: Path, saved: int) -> None:
    """A run that was preempted and saved after so many steps, against one that was not; to the last bit."""
    said = (run / "train.log").read_text()
    assert f"SIGUSR2: saved at step {saved}" in said and f"goes on from step {saved} of" in said, said
    states = [torch.load(each / "checkpoints" / "last.ckpt", weights_only=True) for each in (whole, run)]
    assert [state["global_step"] for state in states] == [STEPS, STEPS]
    for part in ("state_dict", "optimizer_states", "lr_schedulers", "DataModule"):
        assert same(states[0][part], states[1][part]), part
    assert rows(whole) == rows(run)


def test_a_sweep_is_an_array_of_jobs_and_started_again_makes_what_is_missing(line: list[str], tmp_path: Path) -> None:
    line = [*line, "compute=slurm", *CPU, "trainer.max_steps=2", "evaluate=[val]", "hydra.sweep.dir=sweep"]
    sweep = tmp_path / "sweep"
    done = finished(process("train", *line, "seed=0,1", cwd=tmp_path))
    assert done.status == 0, done
    first = (sweep / "0" / "checkpoints" / "last.ckpt").stat()
    shutil.rmtree(sweep / "1")

    done = finished(process("train", *line, "seed=0,1,2", cwd=tmp_path))
    assert done.status == 0, done
    assert len(list((sweep / ".submitit").glob("*_[012]"))) == 2 + 3
    assert (sweep / "0" / "checkpoints" / "last.ckpt").stat() == first
    for job in "012":
        state = torch.load(sweep / job / "checkpoints" / "last.ckpt", weights_only=True)
        assert state["global_step"] == 2
        assert ("ended earlier" in (sweep / job / "train.log").read_text()) == (job == "0")
        (*_, result) = sorted(sweep.glob(f".submitit/*_{job}/*_result.pkl"), key=lambda path: path.stat().st_mtime)
        returned = pickle.loads(result.read_bytes())[1].return_value
        assert returned == json.loads((sweep / job / "outcome.json").read_text())["value"]


@pytest.mark.parametrize(
    ("compute", "processes"),
    [
        (["compute=slurm"], 1),
        (["compute=slurm_ddp", "compute.devices=2"], 2),
        (["compute=slurm_ddp", "compute.devices=1", "compute.nodes=2"], 2),
    ],
    ids=["one", "two", "two_nodes"],
)
def test_a_preempted_job_ends_as_if_nothing_had_happened(
    compute: list[str], processes: int, line: list[str], whole: Whole, tmp_path: Path
) -> None:
    name = f"hydra.launcher.name={tmp_path.name}"
    job = process("train", *line, *CPU, *compute, name, "hydra.sweep.dir=sweep", cwd=tmp_path)
    preempt(tmp_path.name, tmp_path / "sweep" / "0")
    done = finished(job)
    assert done.status == 0, done
    # Several agree after every second step.
    check(whole(processes), tmp_path / "sweep" / "0", ASKED + processes)
    assert "Requeued job" in (tmp_path / "sweep" / "0" / "train.log").read_text()
    assert sorted(path.name for path in (tmp_path / "sweep").iterdir() if path.is_dir()) == [".submitit", "0"]


def test_a_batch_script_does_as_much(line: list[str], whole: Whole, tmp_path: Path) -> None:
    few = ["--gpus-per-node=0", "--cpus-per-task=1", "--mem=1G", f"--job-name={tmp_path.name}", f"--chdir={tmp_path}"]
    number = say("sbatch", "--parsable", *few, SCRIPTS / "train.sbatch", *line).strip()
    run = tmp_path / "logs" / "train" / f"slurm-{number}"
    preempt(tmp_path.name, run)
    wait_for(lambda: jobs(tmp_path.name)[0][1] == "COMPLETED", tmp_path.name)
    check(whole(1), run, ASKED + 1)


def test_a_failing_job_says_why_in_one_line_and_is_seen_to_fail(tmp_path: Path) -> None:
    two = ["compute=slurm_ddp", "compute.devices=2"]
    line = [*two, *CPU, f"hydra.launcher.name={tmp_path.name}", "hydra.sweep.dir=sweep"]
    done = finished(process("train", *line, "data=folder", "data.root=nowhere", cwd=tmp_path))
    assert done.status == 1
    assert done.complaints[-1] == "fovea-train: data.root: no such folder nowhere; name the folder that holds images/"
    assert "Traceback" not in done.stderr + done.stdout
    wait_for(lambda: jobs(tmp_path.name)[0][1:] == ["FAILED", "NonZeroExitCode"], tmp_path.name)


def test_an_unknown_partition_is_refused_in_one_line(line: list[str], tmp_path: Path) -> None:
    done = finished(process("train", *line, "compute=slurm", *CPU, "compute.partition=gpuu", cwd=tmp_path))
    assert done.status == 1
    assert "invalid partition specified: gpuu" in done.complaints[-1]
    assert "Traceback" not in done.stderr + done.stdout


def test_shards_of_the_gaze_stage_and_a_last_call_make_what_one_call_makes(made: Path, tmp_path: Path) -> None:
    line = [*folder(made), *gaze(tmp_path / "store")]
    shards = ["compute=slurm", *CPU, "shards=4", "shard=0,1,2,3", "hydra.sweep.dir=shards"]
    done = finished(process("prepare", *line, *shards, cwd=tmp_path))
    assert done.status == 0, done
    made_by_jobs = files(tmp_path / "store")
    assert len([name for name in made_by_jobs if name.endswith(".png")]) == 10 and "manifest.json" not in made_by_jobs
    assert finished(process("prepare", *line, "hydra.run.dir=last", cwd=tmp_path)).status == 0
    alone = [*folder(made), *gaze(tmp_path / "alone"), "hydra.run.dir=alone_run"]
    assert finished(process("prepare", *alone, cwd=tmp_path)).status == 0
    whole = files(tmp_path / "store")
    assert whole == files(tmp_path / "alone") and made_by_jobs.items() <= whole.items()
