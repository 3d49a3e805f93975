"""Run folders reported on through the real command."""

import csv
import json
import shutil
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from .conftest import LIGHT, Outcome, Run, folder, gaze
from .test_starts import several

FILES = ["report.html", "runs.csv", "table.csv", "table.json", "table.md"]


def change(run: Path, **values: object) -> None:
    config = OmegaConf.load(run / "config.yaml")
    for key, value in values.items():
        OmegaConf.update(config, key.replace("__", "."), value)
    OmegaConf.save(config, run / "config.yaml")


@pytest.fixture
def runs(trained: tuple[Path, Outcome], tmp_path: Path) -> Path:
    """Three trainings as if they had differed in seed and in rate, and one without its configuration."""
    for name in ("a", "b", "c", "d"):
        shutil.copytree(trained[0], tmp_path / "runs" / name, ignore=shutil.ignore_patterns("*.ckpt"))
    change(tmp_path / "runs/b", seed=1, data__seed=1)
    change(tmp_path / "runs/c", optimizer__lr=0.5)
    (tmp_path / "runs/d/config.yaml").unlink()
    return tmp_path


def test_runs_make_a_table_and_a_page_without_torch_or_data(runs: Path) -> None:
    said, heavy = several([["report", "runs=runs", "out=out", "resamples=100"]], runs)
    assert heavy == set()
    assert "| lr=0.01 | 2" in said and "failed: runs/d: no config.yaml" in said
    assert sorted(path.name for path in (runs / "out").iterdir()) == FILES
    with (runs / "out/table.csv").open() as file:
        assert [(row["name"], row["seeds"]) for row in csv.DictReader(file)] == [("lr=0.01", "2"), ("lr=0.5", "1")]
    assert (runs / "out/table.md").read_text().splitlines()[0] in said
    assert json.loads((runs / "out/table.json").read_text())["split"] == "val"
    page = (runs / "out/report.html").read_text()
    assert "no config.yaml" in page and "data:image/jpeg" in page and "fovea-train" in page


def test_a_real_sweep_is_named_by_what_was_swept(run: Run, made: Path, store: Path, tmp_path: Path) -> None:
    line = [*folder(made), *gaze(store), *LIGHT, "supervision=full,gaze", "hydra.sweep.dir=sweep"]
    assert run("train", "-m", *line).status == 0
    done = run("report", "runs=sweep", "out=out", "resamples=100", "score=iou", "baseline=full")
    assert done.status == 0 and done.complaints == []
    rows = json.loads((tmp_path / "out/table.json").read_text())["rows"]
    assert [row["name"] for row in rows] == ["supervision=full", "supervision=gaze"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ([], "runs is not given"),
        (["runs=nowhere"], "runs: nowhere is no folder"),
        (["runs=runs", "split=test"], "none of 4 is finished (runs/a: trained, not evaluated on test"),
        (["runs=runs", "score=dise"], "no column dise of scores"),
        (["runs=runs", "baseline=nothing"], "baseline=nothing: not one of the configurations"),
        (["runs=runs", "only={data.name: kvasir}"], "no run has these values"),
        (["runs=runs", "only=kvasir"], "only=kvasir: give keys with their values"),
        (["runs=runs", "baseline=7"], "baseline=7: not one of"),
        (["runs=runs", "resamples=5"], "resamples=5"),
        (["runs=runs", "alpha=2"], "alpha=2"),
    ],
)
def test_what_cannot_be_reported_is_refused_in_one_line(run: Run, runs: Path, line: list[str], message: str) -> None:
    assert message in run("report", *line, "out=out").refusal("report")
    assert not (runs / "out").exists()


def test_runs_of_different_data_are_refused_and_can_be_parted(run: Run, runs: Path) -> None:
    change(runs / "runs/c", data__name="other")
    refusal = run("report", "runs=runs", "out=out").refusal("report")
    assert "data.name is folder in runs/a but other in runs/c" in refusal and "only={data.name" in refusal
    assert run("report", "runs=runs", "out=out", "only={data.name: other}", "resamples=100").status == 0
    assert "(other)</h1>" in (runs / "out/report.html").read_text()
