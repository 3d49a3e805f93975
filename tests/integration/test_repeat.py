"""A run folder repeats its run, bit for bit."""

import os
import subprocess
from pathlib import Path

import pytest
import torch

from .conftest import LIGHT, Outcome, Run, environment, folder, gaze


def weights(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


def assert_equal(run: Path, other: Path, equal: bool = True) -> None:
    ours, theirs = weights(run), weights(other)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours) == equal


def repeat(run: Path, out: Path | str, *overrides: str, cwd: Path) -> Outcome:
    """Follow the folder's own script, in a process of its own."""
    done = subprocess.run(
        ["sh", str(run / "repeat.sh"), str(out), *overrides],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=240,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def line(made: Path, store: Path) -> list[str]:
    """The overrides of a short training under gaze with augmentation, without an evaluation."""
    return [*folder(made), *gaze(store), *LIGHT, "augmentation=strong", "evaluate=[]"]


def test_a_run_is_repeated_from_its_folder_wherever_it_stands(run: Run, line: list[str], tmp_path: Path) -> None:
    assert run("train", *line, "hydra.run.dir=run").status == 0
    moved = tmp_path / "a folder, moved = 'here'"
    (tmp_path / "run").rename(moved)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = repeat(moved, "again, 'here' too", cwd=elsewhere)
    assert (done.status, done.complaints) == (0, []), done
    again = elsewhere / "again, 'here' too"
    assert_equal(moved, again)
    recipes = [(each / "recipe.yaml").read_text() for each in (moved, again)]
    assert recipes[0] == recipes[1]
    assert (again / "train.log").read_text().startswith("folder: trains on")
    assert os.access(again / "repeat.sh", os.X_OK)
    refused = repeat(moved, again, cwd=tmp_path)
    assert refused.status == 1 and refused.complaints == [f"repeat.sh: {again} is a run folder already; name another"]


def test_a_job_of_a_sweep_is_repeated_and_keys_may_be_changed(
    run: Run, line: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("train", *line, "seed=0,1", "hydra.sweep.dir=sweep", "--multirun").status == 0
    jobs = [tmp_path / "sweep" / job for job in "01"]
    assert_equal(*jobs, equal=False)
    recipe = ["--config-path", jobs[1], "--config-name", "recipe"]  # as in repeat.sh, without another process
    for out, overrides, like in (("same", [], jobs[1]), ("other", ["seed=0"], jobs[0])):
        monkeypatch.setenv("FOVEA_REPEAT_OUT", str(tmp_path / out))
        assert run("train", *recipe, *overrides).status == 0
        assert_equal(tmp_path / out, like)  # the data module's seed is made of seed


def test_other_commands_are_repeated_too(run: Run, made: Path, tmp_path: Path) -> None:
    assert run("simulate", *folder(made), "out=made.csv", "hydra.run.dir=run").status == 0
    done = repeat(tmp_path / "run", "again", "out=made_again.csv", cwd=tmp_path)
    assert done.status == 0, done
    assert (tmp_path / "made_again.csv").read_bytes() == (tmp_path / "made.csv").read_bytes()


@pytest.mark.parametrize("command", ["simulate", "import_", "prepare", "train", "evaluate", "predict"])
def test_every_command_names_the_module_that_repeats_it(run: Run, command: str, tmp_path: Path) -> None:
    given = {
        "simulate": ["out=F"],
        "import_": ["source=D", "out=F", "format=maps"],
        "evaluate": ["checkpoint=F"],
        "predict": ["checkpoint=F", "input=D", "out=D"],
    }
    data = ["data.root=nowhere"] if command != "predict" else []
    assert run(command, *data, *given.get(command, []), "hydra.run.dir=run").status == 1  # after its record
    script = (tmp_path / "run" / "repeat.sh").read_text()
    assert f"-m fovea.cli.{command} " in script
    assert subprocess.run(["sh", "-n", str(tmp_path / "run" / "repeat.sh")], check=False).returncode == 0


def test_the_same_seed_gives_the_same_run_with_any_number_of_workers(run: Run, line: list[str], tmp_path: Path) -> None:
    for workers in range(3):
        settings = [f"data.num_workers={workers}", "seed=0", "trainer.max_steps=4", f"hydra.run.dir={workers}"]
        assert run("train", *line, *settings).status == 0
    assert_equal(tmp_path / "0", tmp_path / "1")
    assert_equal(tmp_path / "0", tmp_path / "2")
