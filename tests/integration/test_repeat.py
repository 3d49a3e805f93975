"""A run folder repeats its run, bit for bit."""

import os
import subprocess
from pathlib import Path

import pytest

from .commands import LIGHT, Result, Run, environment, folder, gaze, same_weights

pytestmark = pytest.mark.slow


def repeat(run: Path, out: Path | str, *overrides: str, cwd: Path) -> Result:
    """Run the folder's own script, with the warm Python."""
    script = ["sh", str(run / "repeat.sh"), str(out), *overrides]
    python = {"PYTHON": os.environ["FOVEA_TEST_PYTHON"]}
    ended = subprocess.run(script, cwd=cwd, env=environment() | python, capture_output=True, text=True, timeout=240)
    return Result(ended.returncode, ended.stdout, ended.stderr)


@pytest.fixture
def line(dataset: Path, store: Path) -> list[str]:
    """Return the overrides of a short training with augmentation and without an evaluation."""
    return [*folder(dataset), *gaze(store), *LIGHT, "augmentation=strong", "evaluate=[]"]


def test_a_moved_run_is_repeated(run: Run, line: list[str], tmp_path: Path) -> None:
    assert run("train", *line, "hydra.run.dir=run").status == 0
    moved = tmp_path / "a folder, moved = 'here'"
    (tmp_path / "run").rename(moved)
    (moved / "evaluate").mkdir()  # no group of the recipe, though Hydra finds groups by their folders
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    result = repeat(moved, "again, 'here' too", "evaluate=[]", cwd=elsewhere)
    assert (result.status, result.errors) == (0, []), result
    again = elsewhere / "again, 'here' too"
    assert same_weights(moved, again)
    assert (moved / "recipe.yaml").read_text() == (again / "recipe.yaml").read_text()
    assert (again / "train.log").read_text().startswith("folder: trains on")
    assert os.access(again / "repeat.sh", os.X_OK)
    refused = repeat(moved, again, cwd=tmp_path)
    assert refused.status == 1 and refused.errors == [f"repeat.sh: {again} is a run folder already; name another"]


def test_a_job_of_a_sweep_is_repeated(
    run: Run, line: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("train", *line, "seed=0,1", "hydra.sweep.dir=sweep", "--multirun").status == 0
    jobs = [tmp_path / "sweep" / job for job in "01"]
    assert not same_weights(*jobs)
    recipe = ["--config-path", jobs[1], "--config-name", "recipe"]  # as in repeat.sh, without another process
    for out, overrides, like in (("same", [], jobs[1]), ("other", ["seed=0"], jobs[0])):
        monkeypatch.setenv("FOVEA_REPEAT_OUT", str(tmp_path / out))
        assert run("train", *recipe, *overrides).status == 0
        assert same_weights(tmp_path / out, like)  # data.seed follows seed


def test_a_part_of_a_job_is_repeated_in_a_folder_of_its_own(
    run: Run, line: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("train", *line, "objective.seeds=[0,1]", "run_dir=job", "hydra.run.dir=log").status == 0
    part = tmp_path / "job" / "seed_1"
    before = {path: path.stat().st_mtime_ns for path in part.rglob("*")}
    monkeypatch.setenv("FOVEA_REPEAT_OUT", str(tmp_path / "again"))
    assert run("train", "--config-path", part, "--config-name", "recipe").status == 0
    assert same_weights(tmp_path / "again", part)
    assert {path: path.stat().st_mtime_ns for path in part.rglob("*")} == before


def test_other_commands_are_repeated_too(run: Run, dataset: Path, tmp_path: Path) -> None:
    assert run("simulate", *folder(dataset), "out=first.csv", "hydra.run.dir=run").status == 0
    result = repeat(tmp_path / "run", "again", "out=second.csv", cwd=tmp_path)
    assert result.status == 0, result
    assert (tmp_path / "second.csv").read_bytes() == (tmp_path / "first.csv").read_bytes()


def test_the_script_names_its_command(run: Run, tmp_path: Path) -> None:
    lines = {"import_": ["source=D", "out=F", "format=maps"], "evaluate": ["checkpoint=F"]}
    for command, mandatory in lines.items():
        line = ["data.root=nowhere", *mandatory, f"hydra.run.dir={command}"]
        assert run(command, *line).status == 1  # after its record
        script = tmp_path / command / "repeat.sh"
        assert f"-m fovea.cli.{command} " in script.read_text()
        (script.parent / "provenance.json").write_text('{\n  "argv": [\n    "threads: 3"\n  ],\n  "threads": 7\n}\n')
        shown = tmp_path / "python"  # what the script would start
        shown.write_text('#!/bin/sh\necho "$OMP_NUM_THREADS"\n')
        shown.chmod(0o755)
        started = ["sh", str(script), "out"]
        assert subprocess.run(started, env={"PYTHON": str(shown)}, capture_output=True, check=True).stdout == b"7\n"
