"""The whole pipeline once: what each command writes, and that scores are those of the files."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from .commands import (
    LIGHT,
    SPLITS,
    STEPS,
    Result,
    Run,
    files,
    folder,
    gaze,
    metrics,
    same_weights,
    summary,
)


def plain(value: object) -> bool:
    """Return whether a value consists of tensors and JSON types only."""
    if isinstance(value, dict):
        return all(plain(key) and plain(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(map(plain, value))
    return value is None or isinstance(value, bool | int | float | str | torch.Tensor)


def table(path: Path) -> dict[str, dict[str, str]]:
    with path.open() as file:
        return {row.pop("id"): row for row in csv.DictReader(file)}


class TestPrepare:
    def test_every_image_has_fixations_and_a_map_of_its_size(self, dataset: Path, store: Path) -> None:
        with (dataset / "fixations.csv").open() as file:
            images = {row["IMAGE"] for row in csv.DictReader(file)}
        assert images == {f"{name}.png" for names in SPLITS.values() for name in names}
        for path in (dataset / "images").iterdir():
            with Image.open(path) as image, Image.open(store / "maps" / path.name) as prepared:
                assert prepared.size == image.size and prepared.mode.startswith("I;16")
        assert len(json.loads((store / "manifest.json").read_text())["images"]) == 10

    def test_workers_change_no_byte(self, run: Run, dataset: Path, store: Path, tmp_path: Path) -> None:
        assert run("prepare", *folder(dataset), *gaze(tmp_path / "again"), "workers=2").status == 0
        assert len(files(store)) == 11 and files(store) == files(tmp_path / "again")


class TestTrain:
    def test_leaves_the_documented_run_folder(self, trained: tuple[Path, Result]) -> None:
        run, result = trained
        assert set(files(run)) - {"changes.diff"} == {  # present where the checkout has changes
            *("checkpoints/best.ckpt", "checkpoints/last.ckpt", "config.yaml", "metrics.csv", "outcome.json"),
            *(f"evaluate/val/{name}" for name in ("per_image.csv", "summary.json", "thresholds.csv")),
            *("evaluate/val/contact_sheet.png", "provenance.json", "recipe.yaml", "repeat.sh", "train.log"),
            "training.json",
        }
        assert result.errors == []

    def test_records_its_configuration_in_plain_values(self, trained: tuple[Path, Result], dataset: Path) -> None:
        text = (trained[0] / "config.yaml").read_text()
        config = OmegaConf.create(text)
        assert config.seed == 0 and config.data.root == str(dataset) and "${" not in text
        provenance = json.loads((trained[0] / "provenance.json").read_text())
        assert provenance["seed"] == 0 and provenance["command"].startswith("fovea-train data=folder")
        assert {"torch", "pytorch-lightning", "numpy", "fovea"} <= set(provenance["versions"])
        for name in ("best", "last"):
            content = torch.load(trained[0] / "checkpoints" / f"{name}.ckpt", weights_only=True)
            assert plain({key: value for key, value in content.items() if key != "state_dict"})
            assert content["fovea"]["config"]["supervision"]["thresholds"] == [0.5, 0.3]

    def test_logs_metrics_by_step_and_summarizes_them(self, trained: tuple[Path, Result]) -> None:
        run, _ = trained
        rows, scores = metrics(run), summary(run / "evaluate" / "val")
        losses = [float(row["train/loss"]) for row in rows if "train/loss" in row]
        assert len(losses) == STEPS and np.isfinite(losses).all()
        assert json.loads((run / "training.json").read_text())["steps"] == STEPS
        validated = [float(row["val/dice"]) for row in rows if "val/dice" in row]
        assert validated == [pytest.approx(scores["dice"]["mean"], abs=1e-6)]
        promised = {"dice", "iou", "n", "split", "select_on", "checkpoint", "levels"}
        assert scores.keys() >= promised | {"hd95", "surface_dice", "calibration_error", "dice_by_size"}
        assert scores["levels"]["level_1"].keys() == {"dice", "iou", "precision", "recall"}
        assert (scores["n"], scores["split"], scores["select_on"]) == (2, "val", "mask")
        assert scores["levels"].keys() == {"level_1", "level_2"} and scores["dice"].keys() == {"mean", "std", "ci95"}
        assert Path(scores["checkpoint"]) == run / "checkpoints" / "best.ckpt"

    @pytest.mark.slow
    def test_a_seed_gives_the_same_weights_with_any_workers(
        self, run: Run, trained: tuple[Path, Result], dataset: Path, store: Path, tmp_path: Path
    ) -> None:
        line = [*folder(dataset), *gaze(store), *LIGHT, "evaluate=[]"]
        for seed in (0, 1):
            assert run("train", *line, "data.num_workers=2", f"seed={seed}", f"hydra.run.dir={seed}").status == 0
        assert same_weights(trained[0], tmp_path / "0")
        assert not same_weights(trained[0], tmp_path / "1")
        assert not (tmp_path / "0" / "evaluate").exists()

    def test_under_gaze_it_opens_no_mask(self, run: Run, root: Path, store: Path, tmp_path: Path) -> None:
        shutil.rmtree(root / "masks")
        result = run("train", *folder(root), *gaze(store), *LIGHT, "evaluate=[val,test]", "hydra.run.dir=run")
        assert result.status == 0 and result.errors == []
        assert "data.select_on=pseudo" in result.stdout
        for split in ("val", "test"):
            assert summary(tmp_path / "run" / "evaluate" / split)["select_on"] == "pseudo"


class TestEvaluate:
    def test_scores_are_those_of_the_predicted_masks(
        self, run: Run, checkpoint: str, dataset: Path, tmp_path: Path
    ) -> None:
        assert run("predict", checkpoint, f"input={dataset / 'images'}", "out=predicted").status == 0
        result = run("evaluate", checkpoint, "split=train", "allow_training_images=true", "out=evaluated")
        assert result.status == 0 and result.errors == []
        rows = table(tmp_path / "evaluated" / "per_image.csv")
        assert list(rows) == list(SPLITS["train"])
        dice = {}
        for name, row in rows.items():
            mask = np.asarray(Image.open(tmp_path / "predicted" / "masks" / f"{name}.png"))
            truth = np.asarray(Image.open(dataset / "masks" / f"{name}.png"))
            assert mask.shape == truth.shape and set(np.unique(mask)) <= {0, 255}
            both, total = ((mask > 0) & (truth > 0)).sum(), (mask > 0).sum() + (truth > 0).sum()
            dice[name] = 2 * both / total
            assert float(row["iou"]) == pytest.approx(both / (total - both), abs=1e-6)
        assert {name: float(row["dice"]) for name, row in rows.items()} == pytest.approx(dice, abs=1e-6)
        scores = summary(tmp_path / "evaluated")
        assert scores["dice"]["mean"] == pytest.approx(np.mean(list(dice.values())))
        assert scores["dice"]["std"] == pytest.approx(np.std(list(dice.values())))
        assert max(dice.values()) > 0.01

    def test_it_repeats_the_evaluation_after_training(
        self, run: Run, trained: tuple[Path, Result], checkpoint: str, tmp_path: Path
    ) -> None:
        assert run("evaluate", checkpoint, "data.num_workers=2", "out=again").status == 0
        for name in ("per_image.csv", "summary.json", "contact_sheet.png"):
            assert (tmp_path / "again" / name).read_bytes() == (trained[0] / "evaluate" / "val" / name).read_bytes()

    @pytest.mark.slow
    def test_predictions_with_flips_follow_a_mirrored_image(
        self, run: Run, checkpoint: str, dataset: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "mirrored").mkdir()
        for path in (dataset / "images").iterdir():
            Image.fromarray(np.asarray(Image.open(path))[:, ::-1]).save(tmp_path / "mirrored" / path.name)
        for source, out in ((dataset / "images", "out"), ("mirrored", "back")):
            assert run("predict", checkpoint, f"input={source}", "tta=flips", f"out={out}").status == 0
        for path in (tmp_path / "out" / "masks").iterdir():
            mask, back = np.asarray(Image.open(path)), np.asarray(Image.open(tmp_path / "back" / "masks" / path.name))
            assert (mask != back[:, ::-1]).mean() < 0.02  # resizing rounds differently from the other side
