"""What is compared with what, and what is refused."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from fovea.report.comparison import compare_runs
from fovea.report.evaluations import read_named
from fovea.report.runs import find_runs
from fovea.report.study import Study, keep, study, write_runs

MakeRun = Callable[..., Path]


def studied(folder: Path, baseline: str | None = None) -> Study:
    return study(find_runs(str(folder), "val", "dice"), [], baseline, 0.05, 200, "dice", 0)


def test_rows_are_those_of_the_comparison(make_run: MakeRun, tmp_path: Path) -> None:
    low = [make_run(f"low{seed}", {"optimizer.lr": 0.1}, seed=seed, dice=0.4) for seed in (0, 1)]
    high = [make_run(f"high{seed}", {"optimizer.lr": 0.2}, seed=seed, dice=0.6) for seed in (0, 1, 2)]
    named = {"lr=0.1": list(map(str, low)), "lr=0.2": list(map(str, high))}
    assert studied(tmp_path).comparison == compare_runs(read_named(named, "val", "dice"), "dice", 0.05, 200, 0)


def test_a_configuration_by_itself_is_a_table_of_one_row(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("a")
    (row,) = studied(tmp_path).comparison.rows
    assert row.versus is None and row.seeds == 1


@pytest.mark.parametrize("baseline", ["lr=0.2", "0.2", "0.2, lr", "RUN"])
def test_the_baseline_is_a_name_a_part_of_it_or_a_folder(make_run: MakeRun, tmp_path: Path, baseline: str) -> None:
    make_run("a", {"optimizer.lr": 0.1})
    folder = make_run("b", {"optimizer.lr": 0.2})
    found = studied(tmp_path, str(folder) if baseline == "RUN" else baseline)
    assert [row.name for row in found.comparison.rows] == ["lr=0.2", "lr=0.1"]


@pytest.mark.parametrize("baseline", ["lr", "nothing"])
def test_a_baseline_that_is_none_or_several_is_refused(make_run: MakeRun, tmp_path: Path, baseline: str) -> None:
    for rate in (0.1, 0.2):
        make_run(f"{rate}", {"optimizer.lr": rate})
    with pytest.raises(ValueError, match=rf"baseline={baseline}: .*lr=0\.1; lr=0\.2"):
        studied(tmp_path, baseline)


@pytest.mark.parametrize(
    ("given", "how", "message"),
    [
        ({"data.name": "kvasir"}, {}, r"data\.name is folder in .*a but kvasir in .*b"),
        ({"data.classes": 2}, {}, r"data\.classes is 1 in .*a but 2 in"),
        ({"data.root": "/other"}, {"ids": ["x", "y"]}, r"26 images .*data\.root is /data/mine in .*a, /other in .*b"),
        ({"data.root": "/other"}, {"size": 0.2}, r"24 images have other masks .*/data/mine in .*a, /other in .*b"),
    ],
)
def test_runs_of_different_data_are_refused_in_one_line(
    make_run: MakeRun, tmp_path: Path, given: dict, how: dict, message: str
) -> None:
    make_run("a")
    make_run("b", given, **how)
    with pytest.raises(ValueError, match=message) as refused:
        studied(tmp_path)
    assert "only={data.name" in str(refused.value) and "\n" not in str(refused.value)


def test_the_same_data_may_be_in_another_folder(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("a")
    make_run("b", {"data.root": "/elsewhere"}, seed=1, size=None)  # an evaluation without the column
    assert studied(tmp_path).comparison.rows[0].seeds == 2


def test_some_of_the_runs_can_be_kept(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("a")
    make_run("b", {"data.name": "kvasir"})
    (make_run("c") / "config.yaml").unlink()
    runs = find_runs(str(tmp_path), "val", "dice")
    assert [run.folder.name for run in keep(runs, {"data.name": "kvasir"})] == ["b", "c"]
    assert keep(runs, {"data": {"name": "kvasir"}}) == keep(runs, {"data.name": "kvasir"})
    assert keep(runs, None) == runs
    with pytest.raises(ValueError, match="no run has these values"):
        keep(runs, {"data.name": "nothing"})


def test_unfinished_runs_are_not_compared(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("a", dice=0.5)
    make_run("b", seed=1, until="cut")
    make_run("c", {"optimizer.lr": 0.5}, until="begun")
    found = studied(tmp_path)
    assert [row.name for row in found.comparison.rows] == ["lr=0.01"] and len(found.runs) == 3
    write_runs(tmp_path / "runs.csv", found)
    with (tmp_path / "runs.csv").open() as file:
        rows = {Path(row["folder"]).name: row for row in csv.DictReader(file)}
    assert [rows[name]["status"] for name in "abc"] == ["finished", "incomplete", "failed"]
    assert float(rows["a"]["dice"]) == pytest.approx(0.5, abs=0.02) and rows["b"]["dice"] == ""
    assert (rows["a"]["configuration"], rows["a"]["seconds"], rows["a"]["optimizer.lr"]) == ("lr=0.01", "12.5", "0.01")


def test_nothing_finished_is_refused(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("a", until="begun")
    with pytest.raises(ValueError, match=r"none of 1 is finished \(.*a: no checkpoint"):
        studied(tmp_path)
