"""Tables and summaries, and the plain loop around a model whose answers are known."""

import csv
import json
from functools import partial
from pathlib import Path

import albumentations as A
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from fovea.data.folder import Folder
from fovea.data.images import image_files, read_image
from fovea.data.plan import evaluation_plan
from fovea.evaluation import Evaluation, evaluate, summarise, table
from fovea.prediction import predict

ROWS = {
    "b": {"prediction": {"dice": 0.5, "iou": 0.3, "precision": 1.0, "recall": 0.4}},
    "a": {"prediction": {"dice": 1.0, "iou": 1.0, "precision": 1.0, "recall": 1.0}},
}


class Brightness(nn.Module):
    """Says that what is bright is the target; its one level says that nothing is."""

    def forward(self, image, size):
        grey = nn.functional.interpolate(image.mean(dim=1, keepdim=True), size=tuple(size), mode="bilinear")
        return {"prediction": (20 * grey).sigmoid(), "level_1": torch.zeros_like(grey)}


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


def test_a_summary_has_the_mean_and_spread_over_images() -> None:
    assert summarise(ROWS)["dice"] == {"mean": 0.75, "std": 0.25}
    assert summarise(ROWS)["levels"] == {}


def test_a_table_is_sorted_by_id() -> None:
    header, body = table(ROWS)
    assert header == ["id", "dice", "iou", "precision", "recall"]
    assert [row[0] for row in body] == ["a", "b"]
    assert body[1][1:] == ["0.500000", "0.300000", "1.000000", "0.400000"]


def test_an_evaluation_of_known_answers(root: Path, tmp_path: Path) -> None:
    plan = evaluation_plan(partial(Folder), str(root), "val", "auto", None, {})
    settings = Evaluation(32, 1, A.Normalize(), 0.5, num_workers=0, sheet_rows=2, fixations=None)
    out = tmp_path / "out"
    summary = evaluate(Brightness(), plan, "val", settings, torch.device("cpu"), Path("x.ckpt"), out)
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


def test_a_prediction_has_the_size_of_its_image_and_bad_images_are_passed_over(root: Path, tmp_path: Path) -> None:
    (root / "images" / "bad.png").write_bytes((root / "images" / "i0.png").read_bytes()[:60])
    images, out = image_files(root / "images"), tmp_path / "out"
    failures = predict(
        Brightness(), images, partial(read_image, channels=3), 32, A.Normalize(), torch.device("cpu"), out
    )
    assert list(failures) == ["bad"]
    assert "bad.png" in failures["bad"]
    for name in ("i0", "i1", "i2"):
        mask = np.array(Image.open(out / "masks" / f"{name}.png"))
        truth = np.array(Image.open(root / "masks" / f"{name}.png"))
        assert mask.shape == truth.shape
        assert set(np.unique(mask)) <= {0, 255}
        assert (mask != truth).mean() < 0.1
        assert Image.open(out / "overlays" / f"{name}.png").mode == "RGB"
    assert sorted(path.name for path in (out / "masks").iterdir()) == ["i0.png", "i1.png", "i2.png"]
