"""Trainings that resume, follow the published protocol, use a fraction, or come in numbers."""

import csv
import json
from pathlib import Path

import pytest

from .commands import LIGHT, STEPS, Run, folder, gaze, last, summary

pytestmark = pytest.mark.slow


@pytest.fixture
def line(dataset: Path, store: Path) -> list[str]:
    return [*folder(dataset), *gaze(store), *LIGHT]


def steps(path: Path) -> list[int]:
    with path.open() as file:
        return [int(row["step"]) for row in csv.DictReader(file) if row["train/loss"]]


def test_a_run_resumes_from_its_last_checkpoint(run: Run, line: list[str], tmp_path: Path) -> None:
    here = ["hydra.run.dir=run", "ckpt_path=auto", "evaluate=[]"]
    assert run("train", *line, *here).status == 0  # no checkpoint yet: starts from scratch
    assert run("train", *line, *here, f"trainer.max_steps={2 * STEPS}").status == 0
    assert last(tmp_path / "run")["global_step"] == 2 * STEPS
    assert steps(tmp_path / "run" / "metrics.csv") == [0, 1, 2, 3, 4, 5]


def test_a_second_start_keeps_the_first_table(run: Run, line: list[str], tmp_path: Path) -> None:
    for _ in range(2):
        assert run("train", *line, "hydra.run.dir=run", "evaluate=[]").status == 0
    assert steps(tmp_path / "run" / "metrics.csv") == steps(tmp_path / "run" / "metrics.1.csv") == [0, 1, 2]


def test_the_published_protocol_keeps_the_last_checkpoint(run: Run, line: list[str], tmp_path: Path) -> None:
    result = run("train", *line, "data.protocol=published", "evaluate=[val,test]", "hydra.run.dir=run")
    assert result.status == 0 and result.errors == []
    assert "the last checkpoint is the result" in result.stdout
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["last.ckpt"]
    assert [path.name for path in (tmp_path / "run" / "evaluate").iterdir()] == ["test"]
    assert summary(tmp_path / "run" / "evaluate" / "test")["checkpoint"].endswith("last.ckpt")


def test_a_fraction_of_the_training_images(run: Run, line: list[str]) -> None:
    result = run("train", *line, "data.fraction=0.5", "evaluate=[]")
    assert result.status == 0 and "of 3 images" in result.stdout


def test_test_is_read_on_request(run: Run, line: list[str], tmp_path: Path) -> None:
    assert run("train", *line, "evaluate=[val,test]", "hydra.run.dir=run").status == 0
    assert {path.name for path in (tmp_path / "run" / "evaluate").iterdir()} == {"val", "test"}
    assert summary(tmp_path / "run" / "evaluate" / "test")["n"] == 2


def test_a_failed_job_does_not_stop_the_sweep(run: Run, line: list[str], tmp_path: Path) -> None:
    sweep = ["data.fraction=2,0.5", "evaluate=[]", "hydra.sweep.dir=sweep", "--multirun"]
    result = run("train", *line, *sweep)
    assert result.status == 1
    assert result.errors[-1].startswith("fovea-train: data.fraction")
    assert "job 0: data.fraction" in result.stdout
    assert not (tmp_path / "sweep" / "0" / "checkpoints").exists()
    assert (tmp_path / "sweep" / "1" / "checkpoints" / "last.ckpt").is_file()
    assert json.loads((tmp_path / "sweep" / "1" / "training.json").read_text())["steps"] == STEPS


def test_jobs_of_a_sweep_have_folders_of_their_own(run: Run, line: list[str], tmp_path: Path) -> None:
    assert run("train", *line, "seed=0,1", "evaluate=[]", "hydra.sweep.dir=sweep", "--multirun").status == 0
    seeds = [json.loads((tmp_path / "sweep" / job / "provenance.json").read_text())["seed"] for job in "01"]
    assert seeds == [0, 1]
    assert steps(tmp_path / "sweep" / "0" / "metrics.csv") == steps(tmp_path / "sweep" / "1" / "metrics.csv")
