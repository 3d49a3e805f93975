"""Run folders are found wherever they are, and say how far they came."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fovea.report.runs import FAILED, FINISHED, INCOMPLETE, find_runs, last_line

MakeRun = Callable[..., Path]


def found(tmp_path: Path, split: str = "val", score: str = "dice") -> dict[str, tuple[str, str]]:
    runs = find_runs(str(tmp_path / "runs"), split, score)
    return {str(run.folder.relative_to(tmp_path / "runs")): (run.status, run.note) for run in runs}


def test_each_run_says_how_far_it_came(make_run: MakeRun, tmp_path: Path) -> None:
    for until in ("begun", "cut", "trained", "evaluated"):
        make_run(f"sweep/{until}", until=until)
    (tmp_path / "runs/sweep/begun/train.log").write_text("starts\nRuntimeError: no memory\n\n")
    listed = found(tmp_path)
    assert {name: status for name, (status, _) in listed.items()} == {
        "sweep/begun": FAILED,
        "sweep/cut": INCOMPLETE,
        "sweep/trained": INCOMPLETE,
        "sweep/evaluated": FINISHED,
    }
    assert listed["sweep/begun"][1].endswith("its log ends with: RuntimeError: no memory")
    assert listed["sweep/cut"][1].startswith("at step 30 of 30")
    assert listed["sweep/trained"][1] == "trained, not evaluated on val: fovea-evaluate split=val"
    assert listed["sweep/evaluated"][1] == ""


def test_runs_of_a_sweep_come_in_the_order_of_their_numbers(make_run: MakeRun, tmp_path: Path) -> None:
    for number in (10, 2, 1):
        make_run(f"sweep/{number}")
    assert list(found(tmp_path)) == ["sweep/1", "sweep/2", "sweep/10"]


def test_runs_of_other_commands_are_passed_over_and_hidden_folders_too(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("train/a")
    make_run(".trash/b")
    other = make_run("prepare/c")
    (other / "config.yaml").write_text("gaze: {sigma: 70}\n")
    assert list(found(tmp_path)) == ["train/a"]


@pytest.mark.parametrize(
    ("file", "content", "why"),
    [
        ("config.yaml", None, "no config.yaml"),
        ("config.yaml", "a: [", "config.yaml cannot be read"),
        ("config.yaml", "- a\n", "config.yaml is no configuration"),
        ("provenance.json", None, "no provenance.json"),
        ("provenance.json", "[", "provenance.json cannot be read"),
        ("provenance.json", "[]", "provenance.json is no mapping"),
        ("training.json", "", "training.json cannot be read"),
    ],
)
def test_damaged_runs_are_listed_with_the_file(
    make_run: MakeRun, tmp_path: Path, file: str, content: str | None, why: str
) -> None:
    make_run("good")
    path = make_run("bad") / file
    path.unlink() if content is None else path.write_text(content)
    status, note = found(tmp_path)["bad"]
    assert status == FAILED and why in note


def test_a_score_that_is_no_number_is_told_of_its_run(make_run: MakeRun, tmp_path: Path) -> None:
    table = make_run("bad") / "evaluate/val/per_image.csv"
    table.write_text("id,dice\na,0.5\nb,nan\n")
    assert "line 3: dice is 'nan'" in found(tmp_path)["bad"][1]
    assert "no column dise" in found(tmp_path, score="dise")["bad"][1]


def test_curves_leave_out_what_is_not_finite_and_say_so(make_run: MakeRun, tmp_path: Path) -> None:
    path = make_run("a") / "metrics.csv"
    path.write_text("step,train/loss,val/dice\n1,0.5,\n1,0.4,\n2,nan,\n3,inf,\n4,1e300,\n5,0.2,\n6,0.1x,\nx,1,\n7")
    (run,) = find_runs(str(tmp_path), "val", "dice")
    steps, values = run.curves["train/loss"]
    assert steps.tolist() == [1, 5] and values.tolist() == [0.4, 0.2]  # of a step the last
    assert "val/dice" not in run.curves
    assert run.note == "train/loss is not finite at step 2" and run.status == FINISHED


def test_folders_may_be_listed_and_overlap(make_run: MakeRun, tmp_path: Path) -> None:
    a, b = make_run("x/a"), make_run("y/b")
    (tmp_path / "runs" / "link").symlink_to(a)
    runs = find_runs([str(a), str(tmp_path / "runs/x"), str(b)], "val", "dice")
    assert [run.folder for run in runs] == [a, b]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "give a folder, or several"),
        ({"a": "b"}, "give a folder, or several"),
        ([3], "give a folder, or several"),
        ("nowhere", "nowhere is no folder"),
    ],
)
def test_what_is_no_folder_is_refused(given: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        find_runs(given, "val", "dice")


def test_a_folder_without_runs_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"no run of fovea-train in .*config\.yaml and provenance\.json"):
        find_runs(str(tmp_path), "val", "dice")


def test_strange_provenance_does_no_harm(make_run: MakeRun, tmp_path: Path) -> None:
    path = make_run("a") / "provenance.json"
    path.write_text(json.dumps({"command": "fovea-train 'open", "git": None, "versions": 3}))
    assert found(tmp_path)["a"][0] == FINISHED


def test_only_the_end_of_a_log_is_read(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"\xff" * 10_000 + b"\nlast " + b"x" * 500)
    assert last_line(tmp_path / "log") == f"last {'x' * 235}…"
    assert last_line(tmp_path / "nowhere") == ""
