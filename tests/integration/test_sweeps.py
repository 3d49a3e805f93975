"""Sweeps: chosen by name, killed and started again, and searched by Optuna over several seeds."""

import csv
import json
import os
import time
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from .commands import LIGHT, Run, finished, folder, gaze, kill_when, last, process, same_weights, summary

pytestmark = pytest.mark.slow
QUICK = [*LIGHT, "sheet_rows=0"]


@pytest.fixture
def line(dataset: Path) -> list[str]:
    return [*folder(dataset), *QUICK, "supervision=full"]


def outcome(run: Path) -> dict:
    return json.loads((run / "outcome.json").read_text())


def without(line: list[str], *keys: str) -> list[str]:
    return [override for override in line if not override.startswith(keys)]


def test_every_training_image_is_val_in_one_fold(run: Run, root: Path, tmp_path: Path) -> None:
    (root / "val.txt").unlink()
    swept = ["sweep=folds", "data.fold=[0,2],[1,2]", "hydra.sweep.dir=sweep"]
    assert run("train", *folder(root), *QUICK, "supervision=full", *swept).status == 0
    tables = [tmp_path / "sweep" / job / "evaluate/val/per_image.csv" for job in "01"]
    folds = [[row[0] for row in table.read_text().splitlines()[1:]] for table in tables]
    assert sorted(folds[0] + folds[1]) == list("abcdef") and [len(fold) for fold in folds] == [3, 3]


class TestStartedAgain:
    def test_a_sweep_runs_what_is_missing(self, run: Run, line: list[str], tmp_path: Path) -> None:
        swept = [*line, "sweep=seeds", "seed=0,1", "hydra.sweep.dir=sweep"]
        assert run("train", *swept, "data.fraction=1,2").status == 1  # 2 is invalid
        kept = [tmp_path / "sweep" / job / name for job in "02" for name in ("provenance.json", "outcome.json")]
        before = [path.stat().st_mtime_ns for path in kept]
        again = run("train", *swept, "data.fraction=1,0.5")
        assert again.status == 0 and again.stdout.count("finished earlier") == 2
        assert before == [path.stat().st_mtime_ns for path in kept]
        assert all((tmp_path / "sweep" / job / "outcome.json").is_file() for job in "0123")


def test_jobs_beside_each_other_end_with_their_command_and_resume(line: list[str], tmp_path: Path) -> None:
    steps = ["trainer.max_steps=40", "callbacks.last.every_n_train_steps=2", "ckpt_path=auto", "data.num_workers=1"]
    swept = ["-m", *without(line, "trainer.max_steps"), *steps, "seed=0,1", "compute=parallel", "hydra.sweep.dir=sweep"]
    saved = [tmp_path / "sweep" / job / "checkpoints" / "last.ckpt" for job in "01"]
    kill_when(process("train", *swept, cwd=tmp_path, cold=True), lambda: all(path.exists() for path in saved))
    until = time.monotonic() + 30
    while jobs_in(tmp_path) and time.monotonic() < until:
        time.sleep(0.1)
    assert not jobs_in(tmp_path)
    again = finished(process("train", *swept, cwd=tmp_path, cold=True))
    assert again.status == 0, again
    assert again.stdout.count("from step") + again.stdout.count("finished earlier") == 2, again  # one may have ended
    assert [last(tmp_path / "sweep" / job)["global_step"] for job in "01"] == [40, 40]
    assert not same_weights(tmp_path / "sweep/0", tmp_path / "sweep/1")
    wrong = finished(process("train", *swept, "compute.gpus=99", "hydra.sweep.dir=wrong", cwd=tmp_path, cold=True))
    assert wrong.status == 1 and "fovea-train: compute.gpus=99, but " in wrong.stderr


def jobs_in(folder: Path) -> list[str]:
    """Return the processes that work in a folder."""
    return [path.parent.name for path in Path("/proc").glob("[0-9]*/cwd") if os.path.realpath(path) == str(folder)]


class TestOptuna:
    def test_searches_over_seeds_and_resumes(self, run: Run, line: list[str], tmp_path: Path) -> None:
        searched = [*without(line, "optimizer.lr"), "sweep=optuna", "objective.seeds=[0,1]", "hydra.sweep.dir=study"]
        assert run("train", *searched, "hydra.sweeper.n_trials=1").status == 0
        study = tmp_path / "study"
        parts = [study / "0" / name for name in ("seed_0", "seed_1")]
        dice = [summary(part / "evaluate/val")["dice"]["mean"] for part in parts]
        assert outcome(study / "0")["value"] == pytest.approx(sum(dice) / 2)
        assert list(outcome(study / "0")["parts"].values()) == dice
        assert [json.loads((part / "provenance.json").read_text())["seed"] for part in parts] == [0, 1]
        assert (parts[1] / "checkpoints" / "best.ckpt").is_file()
        result = run("train", *searched, "hydra.sweeper.n_trials=2")
        assert result.status == 0 and "best of 2 trials" in result.stdout
        assert (study / "1" / "outcome.json").is_file() and not (study / "2").exists()
        best = json.loads((study / "study.json").read_text())["best"]
        assert set(best["parameters"]) == {"optimizer.lr", "optimizer.weight_decay"}
        wrong = run("train", *without(searched, "objective"))
        assert "has other values: objective.seeds=[0,1]" in wrong.error("train")

    def test_killed_in_a_trial_it_resumes_the_trial(self, run: Run, line: list[str], tmp_path: Path) -> None:
        steps = ["trainer.max_steps=12", "callbacks.last.every_n_train_steps=2", "hydra.sweeper.n_trials=2"]
        line = without(line, "optimizer.lr", "trainer.max_steps")
        searched = [*line, *steps, "sweep=optuna", "hydra.sweep.dir=study"]
        study = tmp_path / "study"
        saved = (study / "0" / "checkpoints" / "last.ckpt").exists
        kill_when(process("train", *searched, cwd=tmp_path), saved)
        first = OmegaConf.load(study / "0" / "config.yaml").optimizer
        again = run("train", *searched)
        assert again.status == 0 and "from step" in again.stdout, again
        with (study / "trials.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert [(row["trial"], row["state"]) for row in rows] == [("0", "complete"), ("1", "complete")]
        assert float(rows[0]["optimizer.lr"]) == first.lr != float(rows[1]["optimizer.lr"])
        assert not list(study.glob("*.lock")) and not list(study.glob(".*.lock"))


def test_a_dose_of_gaze_has_a_store_of_its_own(run: Run, dataset: Path, tmp_path: Path) -> None:
    prepared = [*folder(dataset), "refine=none", "labels.dose=0.5,1.0", "data.name=images"]
    assert run("prepare", "-m", *prepared, "hydra.sweep.dir=prepared").status == 0
    stores = sorted((tmp_path / "data" / "stores" / "images").iterdir())
    assert [("dose0.5" in store.name, "dose1.0" in store.name) for store in stores] == [(True, False), (False, True)]
    assert (stores[0] / "maps" / "a.png").read_bytes() != (stores[1] / "maps" / "a.png").read_bytes()
    swept = [*prepared, *QUICK, "sweep=dose", "supervision=gaze", "hydra.sweep.dir=sweep"]
    assert run("train", *swept).status == 0
    error = run("train", *folder(dataset), *gaze(stores[0]), *QUICK, "supervision=gaze").error("train")
    assert "labels.dose is 1 here but the store has 0.5" in error
