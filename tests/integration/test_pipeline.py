"""The whole line once: what each command leaves, and that the figures are those of the files."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from .conftest import LIGHT, SPLITS, STEPS, Outcome, Run, folder, gaze, summary, temporary_files


def plain(value: object) -> bool:
    """Whether a value is made of nothing but tensors and what JSON knows."""
    if isinstance(value, dict):
        return all(plain(key) and plain(each) for key, each in value.items())
    if isinstance(value, list | tuple):
        return all(plain(each) for each in value)
    return value is None or isinstance(value, bool | int | float | str | torch.Tensor)


def weights(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


def same(first: Path, second: Path) -> bool:
    pairs = weights(first), weights(second)
    return pairs[0].keys() == pairs[1].keys() and all(torch.equal(pairs[0][key], pairs[1][key]) for key in pairs[0])


def table(path: Path) -> dict[str, dict[str, float]]:
    with path.open() as file:
        return {row.pop("id"): {name: float(value) for name, value in row.items()} for row in csv.DictReader(file)}


def test_simulate_looks_at_every_image(made: Path) -> None:
    with (made / "fixations.csv").open() as file:
        seen = {row["IMAGE"] for row in csv.DictReader(file)}
    assert seen == {f"{name}.png" for names in SPLITS.values() for name in names}


def test_prepare_leaves_a_map_of_every_image_at_its_size(made: Path, store: Path) -> None:
    for path in (made / "images").iterdir():
        with Image.open(path) as image, Image.open(store / "maps" / path.name) as prepared:
            assert prepared.size == image.size and prepared.mode.startswith("I;16")
    assert len(json.loads((store / "manifest.json").read_text())["images"]) == 10


def test_prepare_gives_the_same_bytes_again_with_workers(run: Run, made: Path, store: Path, tmp_path: Path) -> None:
    assert run("prepare", *folder(made), *gaze(tmp_path / "again"), "workers=2").status == 0
    files = sorted(path.relative_to(store) for path in store.rglob("*") if path.is_file())
    assert len(files) == 11
    assert all((store / each).read_bytes() == (tmp_path / "again" / each).read_bytes() for each in files)


def test_training_leaves_the_run_folder_of_the_documentation(trained: tuple[Path, Outcome]) -> None:
    run, done = trained
    files = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    assert files - {"changes.diff"} == {  # which is there where the checkout is changed
        "checkpoints/best.ckpt",
        "checkpoints/last.ckpt",
        "config.yaml",
        "evaluate/val/contact_sheet.png",
        "evaluate/val/per_image.csv",
        "evaluate/val/summary.json",
        "evaluate/val/thresholds.csv",
        "metrics.csv",
        "provenance.json",
        "recipe.yaml",
        "repeat.sh",
        "train.log",
        "training.json",
        "outcome.json",
    }
    assert done.complaints == []


def test_the_run_folder_says_how_to_repeat_the_run(trained: tuple[Path, Outcome], made: Path) -> None:
    run, _ = trained
    config = OmegaConf.load(run / "config.yaml")
    assert config.seed == 0 and config.data.root == str(made) and "${" not in (run / "config.yaml").read_text()
    found = json.loads((run / "provenance.json").read_text())
    assert found["seed"] == 0 and found["command"].startswith("fovea-train data=folder")
    assert {"torch", "pytorch-lightning", "numpy", "fovea"} <= set(found["versions"])


def test_metrics_are_logged_by_step(trained: tuple[Path, Outcome]) -> None:
    run, _ = trained
    with (run / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    losses = [float(row["train/loss"]) for row in rows if row["train/loss"]]
    assert len(losses) == STEPS and np.isfinite(losses).all()
    assert json.loads((run / "training.json").read_text())["steps"] == STEPS
    validated = [float(row["val/dice"]) for row in rows if row["val/dice"]]
    assert validated == [pytest.approx(summary(run / "evaluate" / "val")["dice"]["mean"], abs=1e-6)]


def test_the_summary_has_the_keys_that_others_rely_on(trained: tuple[Path, Outcome]) -> None:
    run, _ = trained
    found = summary(run / "evaluate" / "val")
    assert found.keys() >= {"dice", "iou", "n", "split", "select_on", "checkpoint", "levels"}
    assert found.keys() >= {"hd95", "surface_dice", "calibration_error", "dice_by_size"}
    assert found["levels"]["level_1"].keys() == {"dice", "iou", "precision", "recall"}
    assert (found["n"], found["split"], found["select_on"]) == (2, "val", "mask")
    assert found["levels"].keys() == {"level_1", "level_2"} and found["dice"].keys() == {"mean", "std", "ci95"}
    assert Path(found["checkpoint"]) == run / "checkpoints" / "best.ckpt"


@pytest.mark.parametrize("name", ["best", "last"])
def test_checkpoints_are_plain_values(trained: tuple[Path, Outcome], name: str) -> None:
    run, _ = trained
    content = torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)
    assert plain({key: value for key, value in content.items() if key != "state_dict"})
    assert content["fovea"]["config"]["supervision"]["thresholds"] == [0.5, 0.3]


def test_scores_are_those_of_the_predicted_masks(
    run: Run, trained: tuple[Path, Outcome], made: Path, store: Path, tmp_path: Path
) -> None:
    checkpoint = f"checkpoint={trained[0] / 'checkpoints' / 'best.ckpt'}"
    assert run("predict", checkpoint, f"input={made / 'images'}", "out=predicted").status == 0
    done = run(
        "evaluate", checkpoint, *folder(made), *gaze(store), "split=train", "data.num_workers=0", "out=evaluated"
    )
    assert done.status == 0 and done.complaints == []
    rows = table(tmp_path / "evaluated" / "per_image.csv")
    assert list(rows) == list(SPLITS["train"])
    dice = {}
    for name in rows:
        guess = np.asarray(Image.open(tmp_path / "predicted" / "masks" / f"{name}.png"))
        truth = np.asarray(Image.open(made / "masks" / f"{name}.png"))
        assert guess.shape == truth.shape and set(np.unique(guess)) <= {0, 255}
        both, either = ((guess > 0) & (truth > 0)).sum(), (guess > 0).sum() + (truth > 0).sum()
        dice[name] = 2 * both / either
        assert rows[name]["iou"] == pytest.approx(both / (either - both), abs=1e-6)
    assert {name: row["dice"] for name, row in rows.items()} == pytest.approx(dice, abs=1e-6)
    found = summary(tmp_path / "evaluated")
    assert found["dice"]["mean"] == pytest.approx(np.mean(list(dice.values())))
    assert found["dice"]["std"] == pytest.approx(np.std(list(dice.values())))
    assert max(dice.values()) > 0.01


def test_evaluation_repeats_what_training_ended_with(
    run: Run, trained: tuple[Path, Outcome], made: Path, store: Path, tmp_path: Path
) -> None:
    checkpoint = trained[0] / "checkpoints" / "best.ckpt"
    run("evaluate", f"checkpoint={checkpoint}", *folder(made), *gaze(store), "data.num_workers=2", "out=again")
    for name in ("per_image.csv", "summary.json", "contact_sheet.png"):
        assert (tmp_path / "again" / name).read_bytes() == (trained[0] / "evaluate" / "val" / name).read_bytes()


def test_images_of_odd_sizes_and_modes_are_predicted(run: Run, trained: tuple[Path, Outcome], tmp_path: Path) -> None:
    sizes = {"wide": (97, 5), "tall": (3, 61), "dot": (1, 1), "grey": (33, 47)}
    (tmp_path / "unseen").mkdir()
    for name, size in sizes.items():
        Image.new("L" if name == "grey" else "RGB", size, 128).save(tmp_path / "unseen" / f"{name}.png")
    done = run("predict", f"checkpoint={trained[0] / 'checkpoints' / 'last.ckpt'}", "input=unseen", "out=out")
    assert done.status == 0 and done.complaints == []
    for kind in ("masks", "overlays"):
        assert {path.stem: Image.open(path).size for path in (tmp_path / "out" / kind).iterdir()} == sizes


def test_a_seed_gives_the_same_weights_whatever_the_workers(
    run: Run, trained: tuple[Path, Outcome], made: Path, store: Path, tmp_path: Path
) -> None:
    again = [*folder(made), *gaze(store), *LIGHT, "data.num_workers=2", "seed=0", "evaluate=[]", "hydra.run.dir=again"]
    assert run("train", *again).status == 0
    assert same(trained[0], tmp_path / "again")
    assert not (tmp_path / "again" / "evaluate").exists()


def test_another_seed_gives_other_weights(
    run: Run, trained: tuple[Path, Outcome], made: Path, store: Path, tmp_path: Path
) -> None:
    run("train", *folder(made), *gaze(store), *LIGHT, "seed=1", "evaluate=[]", "hydra.run.dir=other")
    assert not same(trained[0], tmp_path / "other")


def test_training_under_gaze_opens_no_mask(run: Run, root: Path, store: Path, tmp_path: Path) -> None:
    shutil.rmtree(root / "masks")
    done = run("train", *folder(root), *gaze(store), *LIGHT, "evaluate=[val,test]", "hydra.run.dir=run")
    assert done.status == 0 and done.complaints == []
    assert "data.select_on=pseudo" in done.stdout and "scored against their pseudo files" in done.stdout
    for split in ("val", "test"):
        assert summary(tmp_path / "run" / "evaluate" / split)["select_on"] == "pseudo"


def test_training_on_masks_opens_no_store(run: Run, made: Path, tmp_path: Path) -> None:
    done = run("train", *folder(made), *LIGHT, "supervision=full", "store=nowhere", "hydra.run.dir=run")
    assert done.status == 0
    found = summary(tmp_path / "run" / "evaluate" / "val")
    assert found["select_on"] == "mask" and found["levels"] == {}
    assert temporary_files(tmp_path) == []
