"""Which runs are compared, and which are refused."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from fovea.report.comparison import compare_runs
from fovea.report.evaluations import read_named
from fovea.report.runs import find_runs
from fovea.report.study import Study, keep, study, warnings, write_runs

MakeRun = Callable[..., Path]


def studied(folder: Path, baseline: str | None = None) -> Study:
    return study(find_runs(str(folder), "val", "dice"), [], baseline, "dice", 0.05, 200, 0)


def test_rows_are_those_of_the_comparison_and_p_is_that_of_the_patients(make_run: MakeRun, tmp_path: Path) -> None:
    for rate, dice in {0.1: 0.4, 0.2: 0.6}.items():
        make_run(f"{rate}", {"optimizer.lr": rate}, dice=dice)
    # An evaluation without the column of sizes, whose data have another root.
    make_run("other", {"optimizer.lr": 0.2, "data.root": "/elsewhere"}, seed=1, dice=0.6, size=None)
    comparison = study(find_runs(str(tmp_path), "val", "dice"), [], None, "dice", 0.05, 5000, 0).comparison
    names = {"lr=0.1": ["0.1"], "lr=0.2": ["0.2", "other"]}
    named = {name: [str(tmp_path / "runs" / each) for each in each] for name, each in names.items()}
    assert comparison == compare_runs(read_named(named, "val", "dice"), "dice", 0.05, 5000, 0)
    # All 24 differences are positive: of the flips of 12 patients only two are as far from 0.
    assert comparison.rows[1].p == pytest.approx(2 / 2**12) and comparison.patients == 12


def test_the_baseline_is_a_name_or_a_folder(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("a", {"optimizer.lr": 0.1})
    folder = make_run("b", {"optimizer.lr": 0.2})
    killed = make_run("c", {"optimizer.lr": 0.2}, seed=1, until="cut")
    for baseline in ("lr=0.2", "0.2", "0.2, lr", str(folder), str(killed)):
        assert [row.name for row in studied(tmp_path, baseline).comparison.rows] == ["lr=0.2", "lr=0.1"]
    for baseline in ("lr", "nothing"):
        with pytest.raises(ValueError, match=rf"baseline={baseline} .*lr=0\.1; lr=0\.2"):
            studied(tmp_path, baseline)


def test_the_folds_of_a_seed_are_pooled(make_run: MakeRun, tmp_path: Path) -> None:
    for rate, dice in {0.1: 0.4, 0.2: 0.6}.items():
        for fold in range(3):
            for seed in (0, 1):
                ids = [f"image{number}" for number in range(8 * fold, 8 * fold + 8)]
                where = {"optimizer.lr": rate, "data.fold": [fold, 3]}
                make_run(f"{rate}/{fold}/{seed}", where, dice=dice, ids=ids, seed=seed)
    report = studied(tmp_path)
    assert [(row.name, row.seeds) for row in report.comparison.rows] == [("lr=0.1", 2), ("lr=0.2", 2)]
    assert report.comparison.images == 24
    for own in report.configurations:
        scores = [run.evaluated.scores for run in own.runs if run.evaluated and run.seed == 1]
        assert report.evaluated[own.name][1].scores == {**scores[0], **scores[1], **scores[2]}
    assert warnings(report) == []
    summary = tmp_path / "runs/0.2/1/0/evaluate/val/summary.json"
    summary.write_text(json.dumps({"split": "val", "select_on": "pseudo"}))
    with pytest.raises(ValueError, match=r"0\.2/1/0/.*: select_on is pseudo, but mask in .*0\.2/0/0"):
        studied(tmp_path)
    summary.write_text(json.dumps({"split": "val", "select_on": "mask"}))
    folds = sorted((tmp_path / "runs").glob("*/2/*/training.json"))
    folds.pop().unlink()
    with pytest.raises(ValueError, match=r"8 images were evaluated in only one of them .*; finish the same folds"):
        studied(tmp_path)
    for fold in folds:
        fold.unlink()
    assert "lr=0.1: 4 of 6 folds are finished." in warnings(studied(tmp_path))


def test_a_network_that_is_evaluated_again_is_no_further_seed(make_run: MakeRun, tmp_path: Path) -> None:
    trained = make_run("train/a", dice=0.5)
    make_run("train/b", seed=1, dice=0.5)
    for name, flips in {"evaluate/1": [], "evaluate/2": [-1], "evaluate/3": [-1]}.items():
        folder = make_run(name, dice=0.7)
        config = OmegaConf.load(folder / "config.yaml")
        config.merge_with({"checkpoint": str(trained / "checkpoints/best.ckpt"), "tta": {"axes": flips}})
        OmegaConf.save(config, folder / "config.yaml")
        shutil.copy(trained / "config.yaml", folder / "trained.yaml")
        overrides = ["tta.axes=[-1]"] if flips else []
        (folder / "provenance.json").write_text(json.dumps({"overrides": overrides}))
    shutil.copytree(trained, trained.with_name("copy"))
    report = studied(tmp_path)
    named = {row.name: [Path(each).parents[1].name for each in row.folders] for row in report.comparison.rows}
    assert named == {"axes=-": ["a", "b"], "axes=[-1]": ["2"]}
    notes = {run.folder.name: run.note for run in report.runs if run.status == "repeated"}
    assert [*notes] == ["1", "3", "copy"] and notes["1"].startswith(f"has the network of {trained} again")


@pytest.mark.parametrize(
    ("changes", "how", "message"),
    [
        ({"data.name": "kvasir"}, {}, r"b: data\.name is kvasir, but folder in .*a;"),
        ({"data.classes": 2}, {}, r"b: data\.classes is 2, but 1 in"),
        ({"data.root": "/other"}, {"ids": ["x", "y"]}, r"b \(data\.root=/other\) and .*a \(.*/mine\): 26 images"),
        ({"data.root": "/other"}, {"size": 0.2}, r"b \(data\.root=/other\) and .*a .*: 24 images have different masks"),
    ],
)
def test_runs_of_different_data_are_refused(
    make_run: MakeRun, tmp_path: Path, changes: dict, how: dict, message: str
) -> None:
    make_run("a")
    make_run("b", changes, **how)
    with pytest.raises(ValueError, match=message) as refused:
        studied(tmp_path)
    assert "only={data.name" in str(refused.value) and "\n" not in str(refused.value)


def test_only_keeps_runs_by_their_values(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("a")
    make_run("b", {"data.name": "kvasir"})
    (make_run("c") / "config.yaml").unlink()
    runs = find_runs(str(tmp_path), "val", "dice")
    assert [run.folder.name for run in keep(runs, {"data.name": "kvasir"})] == ["b", "c"]
    assert keep(runs, {"data": {"name": "kvasir"}}) == keep(runs, {"data.name": "kvasir"})
    assert keep(runs, None) == runs
    for only in ({"data.fraction": 1}, {"optimizer._target_": "AdamW"}):  # the configuration has 1.0, torch.optim.AdamW
        assert keep(runs, only) == runs
    for only, message in {
        "kvasir": "only=kvasir must be",
        ("data.name", "nothing"): "no run has these values",
        ("data.nmae", "kvasir"): r"only: no run has the key data\.nmae, the nearest are data\.name",
    }.items():
        with pytest.raises(ValueError, match=message):
            keep(runs, only if isinstance(only, str) else dict([only]))
    with pytest.raises(ValueError, match=r"ignore: no run has the key stroe, the nearest are store"):
        study(runs, ["stroe"], None, "dice", 0.05, 200, 0)


def test_unfinished_runs_are_listed_only(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("a", dice=0.5)
    make_run("b", seed=1, until="cut")
    make_run("c", {"optimizer.lr": 0.5}, until="begun")
    report = studied(tmp_path)
    assert [row.name for row in report.comparison.rows] == ["all runs"] and len(report.runs) == 3
    write_runs(tmp_path / "runs.csv", report)
    with (tmp_path / "runs.csv").open() as file:
        rows = {Path(row["folder"]).name: row for row in csv.DictReader(file)}
    assert [rows[name]["status"] for name in "abc"] == ["finished", "incomplete", "failed"]
    assert float(rows["a"]["dice"]) == pytest.approx(0.5, abs=0.02) and rows["b"]["dice"] == ""
    assert [rows[name]["configuration"] for name in "abc"] == ["all runs", "all runs", ""]  # c changes no name


def test_nothing_finished_is_refused(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("a", until="begun")
    with pytest.raises(ValueError, match=r"none of 1 can be compared, e\.g\. .*a: no checkpoint"):
        studied(tmp_path)
    make_run("b", until="trained")
    with pytest.raises(ValueError, match=r"none of 2 can be compared, e\.g\. .*b: trained, not evaluated on val"):
        studied(tmp_path)


def test_weak_points_are_warned_of(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("a")
    folder = make_run("b", seed=0)
    about = json.loads((folder / "provenance.json").read_text())
    (folder / "provenance.json").write_text(json.dumps(about | {"git": {"commit": "fedcba", "state": "changed"}}))
    make_run("c", {"optimizer.lr": 0.5})
    lines = "\n".join(warnings(studied(tmp_path)))
    assert "lr=0.01: more than one run has seed 0" in lines
    assert "Different code within one configuration: lr=0.01 (01234567, fedcba (changed))." in lines
    assert "spread over seeds is unknown: lr=0.5." in lines and "1 of 3 runs had changes" in lines


def test_differences_that_may_be_of_seeds_are_warned_of(make_run: MakeRun, tmp_path: Path) -> None:
    for rate, scores in {0.1: [0.4, 0.5], 0.2: [0.5, 0.5], 0.3: [0.7, 0.7], 0.4: [0.55]}.items():
        for seed, dice in enumerate(scores):
            make_run(f"{rate}/{seed}", {"optimizer.lr": rate}, seed=seed, dice=dice)
    report = studied(tmp_path)
    assert [row.verdict for row in report.comparison.rows[1:]] == ["better"] * 3
    lines = warnings(report)
    assert "Other seeds than those of the baseline, which may be a part of the difference: lr=0.4." in lines
    assert any(line.startswith("Differences within the standard dev") and line.endswith(": lr=0.2.") for line in lines)
