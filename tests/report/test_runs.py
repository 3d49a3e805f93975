"""Run folders: how they are located and read, and their status."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fovea.report.runs import FAILED, FINISHED, INCOMPLETE, Run, find_runs
from fovea.runtime.record import write_failure

MakeRun = Callable[..., Path]


def statuses(tmp_path: Path, split: str = "val", score: str = "dice") -> dict[str, tuple[str, str]]:
    runs = find_runs(str(tmp_path / "runs"), split, score)
    return {str(run.folder.relative_to(tmp_path / "runs")): (run.status, run.note) for run in runs}


def test_the_status_tells_how_far_a_run_came_and_why_it_failed(make_run: MakeRun, tmp_path: Path) -> None:
    for until in ("begun", "cut", "trained", "evaluated"):
        make_run(f"sweep/{until}", until=until)
        write_failure(make_run(f"failed/{until}", until=until), "failed", "train/loss is nan at step 3")
    write_failure(make_run("stopped", until="cut"), "interrupted", "Ctrl-C")
    result = statuses(tmp_path)
    assert result["sweep/begun"] == (FAILED, "no checkpoint: killed, or has just started")
    assert result["sweep/cut"][0] == INCOMPLETE and result["sweep/cut"][1].startswith("at step 30 of 30: still running")
    assert result["sweep/trained"] == (INCOMPLETE, "trained, not evaluated on val: fovea-evaluate split=val")
    assert result["sweep/evaluated"] == (FINISHED, "")
    for until in ("begun", "cut", "trained"):
        assert result[f"failed/{until}"] == (FAILED, "train/loss is nan at step 3")
    assert result["failed/evaluated"][0] == FINISHED  # another split failed
    assert result["stopped"][0] == INCOMPLETE and "at step 30 of 30: interrupted" in result["stopped"][1]


def test_which_folders_are_runs_and_in_which_order(make_run: MakeRun, tmp_path: Path) -> None:
    for name in ("job", "job/seed_0", "job/fold_0/seed_1", "sweep/10", "sweep/2", "sweep/1", ".trash/b", "evaluate/d"):
        make_run(name)
    make_run("sweep/10/flips")  # in the folder of a run
    (make_run("prepare/c") / "config.yaml").write_text("labels: {sigma: 70}\n")  # of another command
    found = ["evaluate/d", "job/fold_0/seed_1", "job/seed_0", "sweep/1", "sweep/2", "sweep/10", "sweep/10/flips"]
    assert list(statuses(tmp_path)) == found


@pytest.mark.parametrize(
    ("file", "content", "why"),
    [
        ("config.yaml", None, "config.yaml: missing"),
        ("config.yaml", "a: [", "config.yaml: damaged"),
        ("provenance.json", "[]", "provenance.json: not a mapping"),
        ("training.json", "", "training.json: damaged"),
        ("failure.json", "{", "failure.json: damaged"),
        ("evaluate/val/per_image.csv", "id,patient,dice\na,p,0.5\nb,p,nan\n", "line 3: dice is 'nan'"),
        ("evaluate/val/per_image.csv", "id,patient,mice\na,p,0.5\n", "no column dice, the nearest are mice"),
    ],
)
def test_damaged_runs_name_the_file(
    make_run: MakeRun, tmp_path: Path, file: str, content: str | None, why: str
) -> None:
    make_run("good")
    path = make_run("bad") / file
    path.unlink() if content is None else path.write_text(content)
    status, note = statuses(tmp_path)["bad"]
    assert status == (INCOMPLETE if "evaluate" in file else FAILED) and why in note


def test_curves_leave_out_values_that_are_not_finite(make_run: MakeRun, tmp_path: Path) -> None:
    path = make_run("a") / "metrics.csv"
    path.write_text("step,train/loss,val/dice\n1,0.5,\n1,0.4,\n2,nan,\n3,inf,\n4,1e300,\n5,0.2,\n6,0.1x,\nx,1,\n7")
    (run,) = find_runs(str(tmp_path), "val", "dice")
    steps, values = run.curves["train/loss"]
    assert steps.tolist() == [1, 5] and values.tolist() == [0.4, 0.2]  # the last value of a step
    assert "val/dice" not in run.curves
    assert run.note == "train/loss is not finite at step 2" and run.status == FINISHED


def test_listed_folders_may_overlap(make_run: MakeRun, tmp_path: Path) -> None:
    a, b = make_run("x/a"), make_run("y/b")
    (tmp_path / "runs" / "link").symlink_to(a)
    runs = find_runs([str(a), str(tmp_path / "runs/x"), str(b)], "val", "dice")
    assert [run.folder for run in runs] == [a, b]


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ([], "give a folder or several"),
        ({"a": "b"}, "give a folder or several"),
        ([3], "give a folder or several"),
        ("empty", "split=vla is not a split; choose train, val, test"),
        ("nowhere", "runs=nowhere: no run of fovea-train"),
        ("empty", "no run of fovea-train"),
    ],
)
def test_folders_without_runs_are_refused(runs: object, message: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=message):
        find_runs(runs, "vla" if "vla" in message else "val", "dice")


@pytest.mark.parametrize(
    ("provenance", "overrides"),
    [
        ({"overrides": ["+a=1", "~b", "data@x=y z", "-m"]}, {"a": "1", "b": "", "data": "y z"}),
        ({"overrides": 3, "git": None, "versions": 3}, {}),
        ({}, {}),
    ],
)
def test_overrides_are_read_by_key(provenance: dict, overrides: dict[str, str]) -> None:
    assert Run(Path("a"), FINISHED, provenance=provenance).overrides == overrides


def test_an_own_evaluation_has_the_training_of_its_checkpoint(make_run: MakeRun, tmp_path: Path) -> None:
    folder = make_run("a")
    (folder / "trained.yaml").write_text("optimizer: {lr: 0.5}\ndata: {name: folder, fraction: 0.5, shift: 0}\n")
    (folder / "config.yaml").write_text("data: {name: other, fraction: 1.0, shift: 5}\ndevice: cpu\n")
    provenance = json.dumps({"overrides": ["data=folder", "data.shift=5", "device=cpu"]})
    (folder / "provenance.json").write_text(provenance)
    (folder / "evaluate/val").rename(tmp_path / "moved")
    for path in (tmp_path / "moved").iterdir():
        path.rename(folder / path.name)
    (run,) = find_runs(str(tmp_path / "runs"), "val", "dice")
    assert run.config == {"optimizer.lr": 0.5, "data.name": "folder", "data.fraction": 0.5, "data.shift": 5}
    for path, name in {
        "/best.ckpt": None,
        "/last.ckpt": "last.ckpt",
        "/epoch=3.ckpt": "epoch=3.ckpt",
        "": None,
    }.items():
        (folder / "config.yaml").write_text(f"checkpoint: a/checkpoints{path}\n" if path else "checkpoint: a\n")
        (run,) = find_runs(str(tmp_path / "runs"), "val", "dice")
        assert run.config.get("checkpoint") == name
    (folder / "config.yaml").write_text("checkpoint: [a/checkpoints/best.ckpt, b/checkpoints/best.ckpt]\n")
    assert find_runs(str(tmp_path / "runs"), "val", "dice")[0].config["checkpoint"] == "2 networks"
    trained = make_run("b")
    (trained / "recipe.yaml").write_text("seed: 3\nstore: maps/${seed}\n")
    (folder / "trained.yaml").write_text("seed: 3\nrun_dir: b\nstore: maps/3\n")
    for checkpoint in (trained, trained / "checkpoints/best.ckpt"):
        (folder / "config.yaml").write_text(f"seed: 0\nrun_dir: a\ncheckpoint: {checkpoint}\n")
        (folder / "recipe.yaml").write_text(f"seed: 0\ncheckpoint: {str(checkpoint).replace('0', '${seed}')}\n")
        assert find_runs(str(folder), "val", "dice")[0].config["store"] == "maps/{seed}"
    (folder / "trained.yaml").write_text(f"seed: 3\nrun_dir: {trained}\nstore: maps/3\n")
    (folder / "config.yaml").write_text("seed: 0\nrun_dir: a\ncheckpoint: before/it/moved\n")
    assert find_runs(str(tmp_path / "runs"), "val", "dice")[0].config["store"] == "maps/{seed}"
