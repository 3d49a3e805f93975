"""Sweeps: chosen by name, killed and started again, and searched by Optuna over several seeds."""

import csv
import json
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from .conftest import LIGHT, Run, folder, gaze, process
from .test_processes import kill_when

QUICK = [*LIGHT, "sheet_rows=0"]


@pytest.fixture
def line(made: Path) -> list[str]:
    return [*folder(made), *QUICK, "supervision=full"]


def outcome(path: Path) -> dict:
    return json.loads((path / "outcome.json").read_text())


def test_every_training_image_is_val_in_one_fold(run: Run, root: Path, tmp_path: Path) -> None:
    (root / "val.txt").unlink()
    swept = ["sweep=folds", "data.fold=[0,2],[1,2]", "hydra.sweep.dir=sweep"]
    assert run("train", *folder(root), *QUICK, "supervision=full", *swept).status == 0
    rows = [(tmp_path / "sweep" / job / "evaluate/val/per_image.csv").read_text().splitlines()[1:] for job in "01"]
    assert sorted(row[0] for fold in rows for row in fold) == list("abcdef") and [len(fold) for fold in rows] == [3, 3]


def test_started_again_a_sweep_makes_what_is_missing_alone(run: Run, line: list[str], tmp_path: Path) -> None:
    swept = [*line, "sweep=seeds", "seed=0,1", "hydra.sweep.dir=sweep"]
    assert run("train", *swept, "data.fraction=1,2").status == 1  # 2 is none
    ended = [tmp_path / "sweep" / job for job in "02"]
    before = [(path / name).stat().st_mtime_ns for path in ended for name in ("provenance.json", "outcome.json")]
    again = run("train", *swept, "data.fraction=1,0.5")
    assert again.status == 0 and again.stdout.count("ended earlier") == 2
    assert before == [
        (path / name).stat().st_mtime_ns for path in ended for name in ("provenance.json", "outcome.json")
    ]
    assert all((tmp_path / "sweep" / job / "outcome.json").is_file() for job in "0123")


def test_an_ended_run_is_refused_for_other_images(run: Run, line: list[str], root: Path) -> None:
    here = [*line, f"data.root={root}", "ckpt_path=auto", "hydra.run.dir=run"]
    assert run("train", *here).status == 0
    (root / "train.txt").write_text("a\nb\nc\nd\n")
    assert "run/outcome.json: the run trained on other images" in run("train", *here).refusal("train")


def test_optuna_searches_over_seeds_and_goes_on(run: Run, line: list[str], tmp_path: Path) -> None:
    line = [each for each in line if not each.startswith("optimizer.lr")]
    searched = [*line, "sweep=optuna", "objective.seeds=[0,1]", "hydra.sweep.dir=study"]
    assert run("train", *searched, "hydra.sweeper.n_trials=1").status == 0
    study = tmp_path / "study"
    found = outcome(study / "0")
    dice = [
        json.loads((study / "0" / seed / "evaluate/val/summary.json").read_text())["dice"]["mean"]
        for seed in ("seed_0", "seed_1")
    ]
    assert found["value"] == pytest.approx(sum(dice) / 2) and list(found["parts"].values()) == dice
    seeds = [json.loads((study / "0" / seed / "provenance.json").read_text())["seed"] for seed in ("seed_0", "seed_1")]
    assert seeds == [0, 1]
    assert (study / "0" / "seed_1" / "checkpoints" / "best.ckpt").is_file()
    done = run("train", *searched, "hydra.sweeper.n_trials=2")
    assert done.status == 0 and "best of 2 trials" in done.stdout
    assert (study / "1" / "outcome.json").is_file() and not (study / "2").exists()
    told = json.loads((study / "study.json").read_text())
    assert set(told["best"]["parameters"]) == {"optimizer.lr", "optimizer.weight_decay"}
    wrong = [each for each in searched if not each.startswith("objective")]
    assert "has other values: objective.seeds=[0,1]" in run("train", *wrong).refusal("train")


def test_a_search_killed_in_a_trial_is_finished_by_the_same_command(run: Run, line: list[str], tmp_path: Path) -> None:
    line = [each for each in line if not each.startswith(("optimizer.lr", "trainer.max_steps"))]
    steps = ["trainer.max_steps=40", "callbacks.last.every_n_train_steps=2", "hydra.sweeper.n_trials=2"]
    searched = [*line, *steps, "sweep=optuna", "hydra.sweep.dir=study"]
    study = tmp_path / "study"
    kill_when(process("train", *searched, cwd=tmp_path), study / "0" / "checkpoints" / "last.ckpt")
    begun = OmegaConf.load(study / "0" / "config.yaml").optimizer
    again = run("train", *searched)
    assert again.status == 0 and "goes on from step" in again.stdout, again
    with (study / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["trial"], row["state"]) for row in rows] == [("0", "complete"), ("1", "complete")]
    assert float(rows[0]["optimizer.lr"]) == begun.lr != float(rows[1]["optimizer.lr"])
    assert not list(study.glob("*.lock")) and not list(study.glob(".*.lock"))


def test_a_dose_of_gaze_has_a_store_of_its_own(run: Run, made: Path, tmp_path: Path) -> None:
    prepared = [*folder(made), "refine=none", "labels.dose=0.5,1.0", "data.name=made"]
    assert run("prepare", "-m", *prepared, "hydra.sweep.dir=prepared").status == 0
    stores = sorted((tmp_path / "data" / "stores" / "made").iterdir())
    assert [("dose0.5" in store.name, "dose1.0" in store.name) for store in stores] == [(True, False), (False, True)]
    maps = [(store / "maps" / "a.png").read_bytes() for store in stores]
    assert maps[0] != maps[1]
    swept = [*prepared, *QUICK, "sweep=dose", "supervision=gaze", "hydra.sweep.dir=sweep"]
    assert run("train", *swept).status == 0
    refusal = run("train", *folder(made), *gaze(stores[0]), *QUICK, "supervision=gaze").refusal("train")
    assert "labels.dose is 1.0 here but the store has 0.5" in refusal
