"""Reports on run folders through the real command."""

import csv
import json
import shutil
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from .commands import LIGHT, Result, Run, folder, gaze

pytestmark = pytest.mark.slow

FILES = ["charts", "figures.json", "report.html", "runs.csv", "sheets"]
FILES += ["table.csv", "table.json", "table.md", "table.tex"]


def change(run: Path, **values: object) -> None:
    config = OmegaConf.load(run / "config.yaml")
    for key, value in values.items():
        OmegaConf.update(config, key.replace("__", "."), value)
    OmegaConf.save(config, run / "config.yaml")


@pytest.fixture
def runs(trained: tuple[Path, Result], tmp_path: Path) -> Path:
    """Copy a training four times: as with another seed, another learning rate, and without its configuration."""
    for name in ("a", "b", "c", "d"):
        shutil.copytree(trained[0], tmp_path / "runs" / name, ignore=shutil.ignore_patterns("*.ckpt"))
    change(tmp_path / "runs/b", seed=1, data__seed=1)
    change(tmp_path / "runs/c", optimizer__lr=0.5)
    (tmp_path / "runs/d/config.yaml").unlink()
    return tmp_path


def test_runs_make_a_table_and_a_page(run: Run, runs: Path) -> None:
    result = run("report", "runs=runs", "out=out", "resamples=100")
    assert "| lr=0.01 | 2" in result.stdout and "runs/d: config.yaml: missing" in result.stdout + result.stderr
    assert sorted(path.name for path in (runs / "out").iterdir()) == FILES
    with (runs / "out/table.csv").open() as file:
        assert [(row["name"], row["seeds"]) for row in csv.DictReader(file)] == [("lr=0.01", "2"), ("lr=0.5", "1")]
    assert (runs / "out/table.md").read_text().splitlines()[0] in result.stdout
    assert json.loads((runs / "out/table.json").read_text())["split"] == "val"
    page = (runs / "out/report.html").read_text()
    assert "config.yaml: missing" in page and "data:image/jpeg" in page and "fovea-train" in page


def test_seeds_with_a_store_each_are_one_row(run: Run, dataset: Path, store: Path, tmp_path: Path) -> None:
    for seed in (0, 1):
        shutil.copytree(store, tmp_path / f"stores/{seed}")
    line = [*folder(dataset), *LIGHT, *gaze(Path("stores/${seed}")), "supervision=pseudo", "sheet_rows=0"]
    assert run("train", "-m", *line, "seed=0,1", "hydra.sweep.dir=sweep").status == 0
    assert "| all runs | 2 " in run("report", "runs=sweep", "resamples=100").stdout
