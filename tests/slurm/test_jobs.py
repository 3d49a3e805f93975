"""The real commands as jobs of a real SLURM on this machine."""

import json
import pickle
import shutil
import subprocess
import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import pytest

from ..integration.commands import LIGHT, files, finished, gaze, invoke, last, metrics, same
from ..integration.commands import process as any_process
from .conftest import SCRIPTS

process = partial(any_process, cold=True)  # a job is started with the Python of the command that submits it
pytestmark = pytest.mark.usefixtures("slurm")
STEPS = 12
BEFORE = 6  # steps before the one in which a job is preempted; its last checkpoint is two steps old by then
CPU = ["compute.gpus=null", "compute.memory=1", "compute.cpus=1", "compute.minutes=30"]
Whole = Callable[[int], Path]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return the overrides that draw twelve images; nine are for training."""
    root = tmp_path_factory.mktemp("images") / "set"
    return ["data=synthetic", f"data.root={root}", "data.dataset.images=12", "data.dataset.image_size=32"]


@pytest.fixture(scope="module")
def line(data: list[str]) -> list[str]:
    """Return the overrides of a training that, as a job, waits for the scheduler."""
    steps = [f"trainer.max_steps={STEPS}", "callbacks.last.every_n_train_steps=4"]
    wait = ["+callbacks.waiting._target_=waiting.Waiting", f"+callbacks.waiting.after={BEFORE}"]
    agree = "callbacks.preemption.agree_every_n_steps=2"
    return [*LIGHT, *data, *steps, *wait, agree, "data.batch_size=2", "supervision=full", "evaluate=[]"]


@pytest.fixture(scope="module")
def whole(line: list[str], tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """Return a function that trains on some processes, without SLURM and without a stop."""

    @cache
    def train(processes: int) -> Path:
        run = tmp_path_factory.mktemp("whole") / "run"
        several = ["compute=ddp", f"trainer.devices={processes}"] if processes > 1 else []
        result = finished(process("train", *line, *several, f"hydra.run.dir={run}", cwd=run.parent))
        assert result.status == 0, result
        return run

    return train


def output(*words: object) -> str:
    """Return what a command of SLURM prints."""
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, check=True).stdout


def jobs(name: str) -> list[list[str]]:
    """Return number, state and reason of the jobs of that name, also of those that ended."""
    printed = output("squeue", "--noheader", "--states=all", "--name", name, "--format=%i %T %r")
    return [row.split() for row in printed.splitlines()]


def wait_for(happens: Callable[[], object], name: str, seconds: int = 900) -> None:
    """Wait until something happens, but not longer than the jobs of that name run."""
    end, ended = time.monotonic() + seconds, False
    while not happens():
        assert not ended and time.monotonic() < end, output("scontrol", "show", "jobs")
        time.sleep(0.2)
        states = [state for _, state, _ in jobs(name)]
        ended = bool(states) and {"COMPLETED", "FAILED", "CANCELLED"}.issuperset(states)


def preempt(name: str, run: Path) -> None:
    """Preempt the job of that name for a moment, once it waits.

    SLURM would then hold it for two minutes. It may be released sooner, but not within the second in which it lost its
    node: in that second the node takes the new start for the old one ("Job credential revoked"), and the job fails.
    """
    wait_for((run / "waiting").exists, name)
    output("sbatch", "--partition=urgent", "--nodes=2", "--exclusive", "--output=/dev/null", "--wrap=true")
    wait_for(lambda: jobs(name)[0][1:] == ["PENDING", "BeginTime"], name)
    output("scontrol", "update", f"JobId={jobs(name)[0][0]}", "StartTime=now+3")


def check(whole: Path, run: Path, saved: int) -> None:
    """Compare a run that was preempted after so many steps with one that was not, bit for bit."""
    log = (run / "train.log").read_text()
    assert f"saved at step {saved}" in log and f"from step {saved} of" in log, log
    states = [last(folder) for folder in (whole, run)]
    assert [state["global_step"] for state in states] == [STEPS, STEPS]
    for part in ("state_dict", "optimizer_states", "lr_schedulers", "DataModule"):
        assert same(states[0][part], states[1][part]), part
    assert metrics(whole) == metrics(run)


def test_a_sweep_is_an_array_of_jobs(line: list[str], tmp_path: Path) -> None:
    line = [*line, "compute=slurm", *CPU, "trainer.max_steps=2", "evaluate=[val]", "hydra.sweep.dir=sweep"]
    sweep = tmp_path / "sweep"
    result = finished(process("train", *line, "seed=0,1", cwd=tmp_path))
    assert result.status == 0, result
    first = (sweep / "0" / "checkpoints" / "last.ckpt").stat()
    shutil.rmtree(sweep / "1")

    result = finished(process("train", *line, "seed=0,1,2", cwd=tmp_path))  # runs what is missing
    assert result.status == 0, result
    assert len(list((sweep / ".submitit").glob("*_[012]"))) == 2 + 3
    assert (sweep / "0" / "checkpoints" / "last.ckpt").stat() == first
    for job in "012":
        assert last(sweep / job)["global_step"] == 2
        assert ("finished earlier" in (sweep / job / "train.log").read_text()) == (job == "0")
        (*_, path) = sorted(sweep.glob(f".submitit/*_{job}/*_result.pkl"), key=lambda path: path.stat().st_mtime)
        returned = pickle.loads(path.read_bytes())[1].return_value
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
def test_a_preempted_job_ends_with_the_same_weights(
    compute: list[str], processes: int, line: list[str], whole: Whole, tmp_path: Path
) -> None:
    name = f"hydra.launcher.name={tmp_path.name}"
    job = process("train", *line, *CPU, *compute, name, "hydra.sweep.dir=sweep", cwd=tmp_path)
    preempt(tmp_path.name, tmp_path / "sweep" / "0")
    result = finished(job)
    assert result.status == 0, result
    # Several processes agree after every second step.
    check(whole(processes), tmp_path / "sweep" / "0", BEFORE + processes)
    assert "Requeued job" in (tmp_path / "sweep" / "0" / "train.log").read_text()
    assert sorted(path.name for path in (tmp_path / "sweep").iterdir() if path.is_dir()) == [".submitit", "0"]


def test_a_batch_script_does_the_same(line: list[str], whole: Whole, tmp_path: Path) -> None:
    few = ["--gpus-per-node=0", "--cpus-per-task=1", "--mem=1G", f"--job-name={tmp_path.name}", f"--chdir={tmp_path}"]
    number = output("sbatch", "--parsable", *few, SCRIPTS / "train.sbatch", *line).strip()
    run = tmp_path / "logs" / "train" / f"slurm-{number}"
    preempt(tmp_path.name, run)
    wait_for(lambda: jobs(tmp_path.name)[0][1] == "COMPLETED", tmp_path.name)
    check(whole(1), run, BEFORE + 1)


def test_a_failing_job_is_one_line_and_a_failed_job(tmp_path: Path) -> None:
    two = ["compute=slurm_ddp", "compute.devices=2"]
    line = [*two, *CPU, f"hydra.launcher.name={tmp_path.name}", "hydra.sweep.dir=sweep"]
    result = finished(process("train", *line, "data=folder", "data.root=nowhere", cwd=tmp_path))
    assert result.status == 1
    assert result.errors[-1].startswith("fovea-train: ") and "no such folder nowhere" in result.errors[-1]
    assert "Traceback" not in result.stderr + result.stdout
    wait_for(lambda: jobs(tmp_path.name)[0][1:] == ["FAILED", "NonZeroExitCode"], tmp_path.name)


def test_an_unknown_partition_is_one_line(line: list[str], tmp_path: Path) -> None:
    result = finished(process("train", *line, "compute=slurm", *CPU, "compute.partition=gpuu", cwd=tmp_path))
    assert result.status == 1
    assert "invalid partition specified: gpuu" in result.errors[-1]
    assert "Traceback" not in result.stderr + result.stdout


def test_shards_make_the_store_of_one_call(data: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    fixations = tmp_path / "fixations.csv"
    assert invoke("simulate", *data, f"out={fixations}").status == 0
    line = [*data, *gaze(tmp_path / "store"), f"labels.path={fixations}"]
    shards = ["compute=slurm", *CPU, "shards=4", "shard=0,1,2,3", "hydra.sweep.dir=shards"]
    result = finished(process("prepare", *line, *shards, cwd=tmp_path))
    assert result.status == 0, result
    by_jobs = files(tmp_path / "store")
    assert len([name for name in by_jobs if name.endswith(".png")]) == 12 and "manifest.json" not in by_jobs
    assert invoke("prepare", *line, "hydra.run.dir=last").status == 0  # completes the store
    alone = [*data, *gaze(tmp_path / "alone"), f"labels.path={fixations}", "hydra.run.dir=alone_run"]
    assert invoke("prepare", *alone).status == 0
    whole = files(tmp_path / "store")
    assert whole == files(tmp_path / "alone") and by_jobs.items() <= whole.items()
