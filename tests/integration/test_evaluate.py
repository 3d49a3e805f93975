"""An evaluation takes its data from the checkpoint, and does not score training images by accident."""

import shutil
from pathlib import Path

import pytest
import torch
import yaml

from fovea.data.images.folder import Folder

from .commands import LIGHT, Result, Run, folder, invoke, summary

FOLD = [1, 3]


def ids(folder: Path) -> list[str]:
    """Return the ids that an evaluation scored."""
    return [line.partition(",")[0] for line in (folder / "per_image.csv").read_text().splitlines()[1:]]


@pytest.fixture(scope="module")
def of_fold(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train on all folds but one; return the run folder. Read-only."""
    run = tmp_path_factory.mktemp("of_fold") / "run"
    fold = f"data.fold={FOLD}".replace(" ", "")
    result = invoke("train", *folder(dataset), *LIGHT, "supervision=full", fold, "evaluate=[]", f"hydra.run.dir={run}")
    assert result.status == 0, result
    return run


@pytest.fixture
def fold_checkpoint(of_fold: Path) -> str:
    return f"checkpoint={of_fold / 'checkpoints' / 'best.ckpt'}"


def test_without_overrides_the_val_fold_is_scored(
    run: Run, fold_checkpoint: str, of_fold: Path, dataset: Path, tmp_path: Path
) -> None:
    result = run("evaluate", fold_checkpoint, "out=out")
    assert result.status == 0 and result.errors == [], result
    assert ids(tmp_path / "out") == Folder(dataset, fold=FOLD).splits()["val"]
    content = torch.load(of_fold / "checkpoints" / "best.ckpt", weights_only=True)
    assert content["DataModule"]["ids"] == Folder(dataset, fold=FOLD).splits()["train"]


def test_several_checkpoints_are_one_row_of_a_report(
    run: Run, trained: tuple[Path, Result], of_fold: Path, tmp_path: Path
) -> None:
    before = (trained[0] / "evaluate/val/summary.json").read_bytes()
    both = f"checkpoint=[{trained[0]},{of_fold}]"
    result = run("evaluate", both, "split=test", "hydra.run.dir=both")
    assert result.status == 0 and len(ids(tmp_path / "both/evaluate/test")) == 2, result
    assert summary(tmp_path / "both/evaluate/test")["checkpoint"].count("best.ckpt") == 2
    refused = run("evaluate", both, "split=val").error("evaluate")  # val of the first one
    assert f"split=val: {of_fold / 'checkpoints' / 'best.ckpt'} was trained on" in refused
    config = yaml.safe_load((tmp_path / "both/trained.yaml").read_text())
    assert config["supervision"]["_target_"] == "fovea.supervision.multi_level.MultiLevel + fovea.supervision.full.Full"
    assert config["data"]["fold"] == "None + [1, 3]" and config["seed"] == 0
    reported = run("report", "runs=both", "split=test", "out=report", "resamples=100")
    assert reported.status == 0 and "| 1 " in reported.stdout, reported
    assert (trained[0] / "evaluate/val/summary.json").read_bytes() == before


def test_training_images_are_refused_unless_allowed(
    run: Run, fold_checkpoint: str, dataset: Path, tmp_path: Path
) -> None:
    error = run("evaluate", fold_checkpoint, "data.fold=null").error("evaluate")  # val.txt: one of them was trained on
    assert "was trained on" in error and "allow_training_images=true" in error
    result = run("evaluate", fold_checkpoint, *folder(dataset), "split=train", "allow_training_images=true", "out=out")
    assert result.status == 0, result
    assert 0 < summary(tmp_path / "out")["training_images"] <= summary(tmp_path / "out")["n"] == 6


@pytest.mark.slow
def test_the_default_folder_is_found_by_compare_and_report(run: Run, of_fold: Path, root: Path, tmp_path: Path) -> None:
    for name in "ab":
        shutil.copytree(of_fold, tmp_path / "runs" / name)
        for scored in (
            "best.ckpt split=val",
            f"last.ckpt split=test hydra.run.dir=first/{name}",
            "best.ckpt split=test",
        ):
            assert not (tmp_path / "runs" / name / "evaluate" / "test").exists()  # last.ckpt goes elsewhere
            assert run("evaluate", *f"checkpoint=runs/{name}/checkpoints/{scored}".split()).status == 0
        assert len(ids(tmp_path / "runs" / name / "evaluate" / "test")) == 2
    compared = run("evaluate", "compare=[runs/a,runs/b]", "split=test", "compare_resamples=100")
    assert compared.status == 0 and compared.errors == [], compared
    reported = run("report", "runs=runs", "split=test", "out=report", "resamples=100")
    assert reported.status == 0 and "all runs | 1 " in reported.stdout, reported
    assert "repeated: runs/b: has the network of runs/a" in reported.stdout  # it is a copy
    before = (tmp_path / "runs/a/evaluate/test/summary.json").read_bytes()
    for other in ("runs/a/checkpoints/last.ckpt", "runs/a/checkpoints/best.ckpt tta=flips"):
        line = ["evaluate", *f"checkpoint={other} split=test hydra.run.dir=own/{len(other)}".split()]
        assert run(*line).status == 0 and len(ids(tmp_path / f"own/{len(other)}/evaluate/test")) == 2
    assert run("evaluate", "checkpoint=runs/a/checkpoints/best.ckpt", "split=test", f"data.root={root}").status == 0
    assert (tmp_path / "runs/a/evaluate/test/summary.json").read_bytes() == before


def test_the_record_of_a_training_is_not_replaced(
    run: Run, fold_checkpoint: str, of_fold: Path, tmp_path: Path
) -> None:
    shutil.copytree(of_fold, tmp_path / "run")
    assert "has a run of fovea-train" in run("evaluate", fold_checkpoint, "hydra.run.dir=run").error("evaluate")
    for name in ("config.yaml", "provenance.json", "repeat.sh"):
        assert (tmp_path / "run" / name).read_bytes() == (of_fold / name).read_bytes()


def test_a_checkpoint_without_ids(run: Run, of_fold: Path, tmp_path: Path) -> None:
    content = torch.load(of_fold / "checkpoints" / "best.ckpt", weights_only=True)
    del content["DataModule"]["ids"]
    torch.save(content, tmp_path / "old.ckpt")
    assert run("evaluate", "checkpoint=old.ckpt", "data.fold=null", "out=out").status == 0


def test_a_chosen_group_is_that_of_the_checkpoint_data(
    run: Run, checkpoint: str, dataset: Path, store: Path, tmp_path: Path
) -> None:
    line = [checkpoint, "refine=lattice", "refine.compat=3", "labels=gaze", "labels.dose=0.5", "hydra.run.dir=run"]
    result = run("evaluate", *line)
    assert result.status == 0, result
    maps = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["data"]["maps"]
    assert (maps["refine"]["name"], maps["refine"]["compat"]) == ("lattice", 3)
    assert (maps["labels"]["dose"], maps["labels"]["path"]) == (0.5, str(dataset / "fixations.csv"))
    assert maps["store"] == str(store)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["data.rooot=x"], "data.rooot is not a key"),
        (["data.size=64"], "data.size=64 but"),
        (["split=tset"], "split=tset is not a split"),
        (["allow_training_images=no"], "allow_training_images must be true or false, got 'no'"),
        (["metrics=null", "device=null"], "device=None is not on this machine"),
    ],
)
def test_invalid_overrides(run: Run, fold_checkpoint: str, options: list[str], message: str) -> None:
    assert message in run("evaluate", fold_checkpoint, *options).error("evaluate")
