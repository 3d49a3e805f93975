"""The plain loop around a model whose answers are known."""

import csv
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from fovea.data.images.folder import Folder
from fovea.data.images.source import Images
from fovea.data.source import Split
from fovea.engine.evaluate import evaluate

SCORING = {"surface_tolerance": 2.0, "size_bounds": [0.1, 0.2], "calibration_bins": 10, "resamples": 100, "seed": 0}


def val(root: Path, classes: int = 1, ignore_label: int | None = None) -> Split:
    """Return the val split of a folder."""
    source = Images(
        **{"name": "folder", "root": str(root), "dataset": {"_target_": "fovea.data.images.folder.Folder"}},
        **{"channels": 3, "classes": classes, "ignore_label": ignore_label, "size": 32, "batch_size": 1, "seed": 0},
        **{"num_workers": 0, "drop_last": False, "fraction": 1.0, "select_on": "auto", "select_threshold": 0.5},
        **{"normalize": {"_target_": "albumentations.Normalize"}, "augment": {}},
    )
    return source.split("val")


def evaluated(module: nn.Module, split: Split, out: Path, sheet_rows: int = 0, classes: int = 1) -> dict[str, Any]:
    """Evaluate a module and return the summary."""
    source = SimpleNamespace(classes=classes, num_workers=0)
    config = {"scoring": {"_target_": "fovea.metrics.summary.Scoring", **SCORING}, "metrics": {}}
    config |= {"sheet_rows": sheet_rows, "sheet_tile": 160}
    summary, _ = evaluate(module, source, split, config, "x.ckpt", (), torch.device("cpu"), out)
    return summary


class Brightness(nn.Module):
    """Says that what is bright is the target; its one level says that nothing is."""

    def forward(self, image, size):
        grey = nn.functional.interpolate(image.mean(dim=1, keepdim=True), size=tuple(size), mode="bilinear")
        return {"prediction": (20 * grey).sigmoid(), "level_1": torch.zeros_like(grey)}


class Unsure(nn.Module):
    """Says of every pixel that it is the target with a probability of 0.3."""

    def forward(self, image, size):
        return {"prediction": torch.full((1, 1, *size), 0.3)}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Images of odd sizes whose bright square is the mask; nothing is bright in the last."""
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
    for number, size in enumerate([(40, 60), (61, 33), (50, 50)]):
        mask = np.zeros(size, np.uint8)
        if number < 2:
            mask[5:25, 6:26] = 255
        Image.fromarray(mask).save(tmp_path / "masks" / f"i{number}.png")
        Image.fromarray(np.stack([mask] * 3, axis=2)).save(tmp_path / "images" / f"i{number}.png")
    (tmp_path / "train.txt").write_text("")
    (tmp_path / "val.txt").write_text("i2\ni0\ni1\n")
    return tmp_path


def test_an_evaluation_of_known_answers(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    summary = evaluated(Brightness(), val(root), out, sheet_rows=2)
    assert json.loads((out / "summary.json").read_text()) == summary
    assert (summary["n"], summary["split"], summary["select_on"]) == (3, "val", "mask")
    with (out / "per_image.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == ["i0", "i1", "i2"]
    assert all(0.8 < float(row["dice"]) <= 1 for row in rows)
    assert float(rows[2]["dice"]) == 1.0  # nothing there, nothing found
    assert [float(row["level_1_dice"]) for row in rows] == [0.0, 0.0, 1.0]
    assert summary["levels"]["level_1"]["dice"]["mean"] == pytest.approx(1 / 3)
    assert Image.open(out / "contact_sheet.png").width > 300
    assert list(rows[0])[:9] == ["id", "patient", "dice", "iou", "precision", "recall", "hd95", "surface_dice", "size"]
    assert [float(row["size"]) for row in rows] == pytest.approx([400 / 2400, 400 / 2013, 0], abs=1e-6)
    assert [float(row["hd95"]) < 3 for row in rows] == [True] * 3
    assert (summary["hd95"]["unit"], summary["surface_dice"]["tolerance"]) == ("px", 2.0)
    assert summary["dice"]["ci95"][0] <= summary["dice"]["mean"] <= summary["dice"]["ci95"][1]
    assert summary["dice_by_size"]["empty"] == {"n": 1, "mean": 1.0}
    assert [each["n"] for each in summary["dice_by_size"]["bins"]] == [0, 2, 0]


def test_an_evaluation_that_cannot_be_written_leaves_none_to_read(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    assert evaluated(Brightness(), val(root), out, sheet_rows=1) and (out / "contact_sheet.png").exists()

    def full(*written: object) -> None:
        raise ValueError("no space left")

    with monkeypatch.context() as patch, pytest.raises(ValueError, match="no space left"):
        patch.setattr("fovea.engine.evaluate.write_image", full)
        evaluated(Unsure(), val(root), out, sheet_rows=1)
    assert list(out.iterdir()) == []  # files without a summary would be refused as those of another origin
    evaluated(Unsure(), val(root), out)
    assert sorted(path.name for path in out.iterdir()) == ["per_image.csv", "summary.json", "thresholds.csv"]
    with pytest.raises(ValueError, match=r"cannot write .*val\.txt: file exists"):  # before the first prediction
        evaluated(None, val(root), root / "val.txt")  # type: ignore[arg-type]


def test_the_calibration_error_is_that_of_all_pixels(root: Path, tmp_path: Path) -> None:
    summary = evaluated(Unsure(), val(root), tmp_path / "out")
    pixels = 40 * 60 + 61 * 33 + 50 * 50
    assert summary["calibration_error"] == pytest.approx(0.3 - 800 / pixels)
    assert summary["dice"]["mean"] == pytest.approx(1 / 3)
    assert summary["hd95"]["mean"] == pytest.approx((np.hypot(40, 60) + np.hypot(61, 33)) / 3)


def test_a_split_without_a_lesion_is_told(root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    evaluated(Unsure(), val(root), tmp_path / "out")
    assert "no image" not in caplog.text
    (root / "val.txt").write_text("i2\n")
    assert evaluated(Unsure(), val(root), tmp_path / "out")["dice"]["mean"] == 1
    assert "no image of val has foreground: its Dice is 1 where it is not predicted" in caplog.text


class NotNumbers(nn.Module):
    """Returns what an overflow leaves: a number for no pixel of a large image."""

    def forward(self, image, size):
        return {"prediction": torch.full((1, 1, *size), torch.nan if size[1] > 50 else 0.9)}


def test_probabilities_that_are_not_numbers_are_told(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    summary = evaluated(NotNumbers(), val(root), tmp_path / "out")
    assert "val: probabilities of 1 of 3 images (i0) are not numbers" in caplog.text
    assert summary["calibration_error"] is None


def test_the_curve_has_the_dice_of_each_threshold(root: Path, tmp_path: Path) -> None:
    held_out, out = val(root), tmp_path / "out"
    summary = evaluated(Brightness(), held_out, out)
    with (out / "thresholds.csv").open() as file:
        curve = {float(row["threshold"]): float(row["dice"]) for row in csv.DictReader(file)}
    assert len(curve) == 49 and curve[0.5] == pytest.approx(summary["dice"]["mean"], abs=1e-6)
    evaluated(Unsure(), held_out, out)
    with (out / "thresholds.csv").open() as file:
        dice = [float(row["dice"]) for row in csv.DictReader(file)]
    everything = (2 * 400 / (2400 + 400) + 2 * 400 / (2013 + 400)) / 3
    assert dice[:14] == pytest.approx([everything] * 14, abs=1e-6)  # thresholds up to 0.28: all is predicted
    assert dice[15:] == pytest.approx([1 / 3] * 34, abs=1e-6)  # from 0.32 on: nothing is


def test_an_evaluation_in_mm_by_patient(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Folder, "patient", lambda self, name: "p")
    monkeypatch.setattr(Folder, "spacing", lambda self, name: (0.5, 2.0))  # pixels half a millimeter high and two wide
    summary = evaluated(Unsure(), val(root), tmp_path / "out")
    assert summary["hd95"]["unit"] == summary["surface_dice"]["unit"] == "mm"
    assert summary["hd95"]["mean"] == pytest.approx((np.hypot(20, 120) + np.hypot(30.5, 66)) / 3)
    assert summary["dice"]["ci95"] is None  # three slices of one patient


class Constant(nn.Module):
    """Predicts the same classes for every image: columns in turn."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes

    def forward(self, image, size):
        labels = (torch.arange(size[1]) % max(self.classes, 2)).expand(*size)
        one_hot = nn.functional.one_hot(labels, max(self.classes, 2)).float().movedim(-1, 0)[None]
        return {"prediction": one_hot[:, 1:] if self.classes == 1 else one_hot}


@pytest.mark.parametrize(("classes", "present"), [(1, 2), (3, 3), (4, 3)])
def test_unlabeled_pixels_are_not_scored(
    root: Path, tmp_path: Path, classes: int, present: int, caplog: pytest.LogCaptureFixture
) -> None:
    rng, expected = np.random.default_rng(0), {}
    for number, (height, width) in enumerate([(40, 60), (61, 33), (50, 50)]):
        truth = rng.integers(0, present, (height, width), dtype=np.uint8)
        labeled = rng.random((height, width)) < 0.1
        Image.fromarray(np.where(labeled, truth, 255).astype(np.uint8)).save(root / "masks" / f"i{number}.png")
        scores = []
        for label in range(1, max(classes, 2)):
            both = predicted = true = 0
            for row, column in zip(*np.nonzero(labeled), strict=True):
                guess = column % max(classes, 2) == label
                both += guess and truth[row, column] == label
                predicted += guess
                true += truth[row, column] == label
            scores.append(2 * both / (predicted + true))
        expected[f"i{number}"] = np.mean(scores)
    split = val(root, classes=classes, ignore_label=255)
    evaluated(Constant(classes), split, tmp_path / "out", 2, classes)
    with (tmp_path / "out" / "per_image.csv").open() as file:
        dice = {row["id"]: float(row["dice"]) for row in csv.DictReader(file)}
    assert dice == pytest.approx(expected, abs=1e-6)
    assert (tmp_path / "out" / "contact_sheet.png").is_file()
    assert ("no image of val has class_3: its Dice is 1 where it is not" in caplog.text) == (classes > present)
