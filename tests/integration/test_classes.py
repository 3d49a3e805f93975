"""Images of three classes: training, evaluation and prediction agree with a naive count."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fovea.pictures.overlay import COLORS

from .commands import LIGHT, SPLITS, Run, folder, invoke, summary

LABELS = "data.labels={0: background, 85: disc, 170: cup}"
CLASSES = ["data.classes=3", LABELS]
FULL = ["supervision=full", "evaluate=[test]"]


@pytest.fixture(scope="module")
def eyes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten images with a bright disc and a dark cup; the values of their masks are 85 and 170."""
    root, rng = tmp_path_factory.mktemp("eyes"), np.random.default_rng(0)
    rows, columns = np.indices((40, 48))
    for split, names in SPLITS.items():
        (root / f"{split}.txt").write_text("\n".join(names))
        for name in names:
            distance = np.hypot(rows - rng.integers(14, 26), columns - rng.integers(14, 34))
            mask = np.where(distance < 5, 170, np.where(distance < 11, 85, 0)).astype(np.uint8)
            image = np.where(mask == 85, 220, np.where(mask == 170, 40, 120)) + rng.normal(0, 8, mask.shape)
            for kind, pixels in {"images": image.clip(0, 255).astype(np.uint8), "masks": mask}.items():
                (root / kind).mkdir(exist_ok=True)
                Image.fromarray(pixels).save(root / kind / f"{name}.png")
    return root


@pytest.fixture(scope="module")
def trained(eyes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a training with the default loss. Read-only."""
    run = tmp_path_factory.mktemp("trained") / "run"
    result = invoke("train", *folder(eyes), *LIGHT, *CLASSES, *FULL, "trainer.max_steps=40", f"hydra.run.dir={run}")
    assert result.status == 0, result
    return run


def naive_dice(predicted: np.ndarray, truth: np.ndarray) -> float:
    both = sum(1 for p, t in zip(predicted.flat, truth.flat, strict=True) if p and t)
    return 2 * both / (predicted.sum() + truth.sum()) if predicted.any() or truth.any() else 1.0


def test_scores_and_masks_agree_with_a_count(run: Run, trained: Path, eyes: Path, tmp_path: Path) -> None:
    checkpoint = f"checkpoint={trained / 'checkpoints' / 'best.ckpt'}"
    assert run("evaluate", checkpoint, "split=test", "out=scores").status == 0
    assert run("predict", checkpoint, f"input={eyes / 'images'}", "out=predicted", "device=cpu").status == 0
    other = "data.labels={0: background, 85: cup, 170: disc}"  # as of masks that number the classes in another order
    refused = run("evaluate", checkpoint, "split=test", "out=swapped", other).error("evaluate")
    assert "the classes are cup, disc in the order of their values, but disc, cup in" in refused
    assert not (tmp_path / "swapped").exists()
    assert run("evaluate", checkpoint, "split=test", "out=renamed", other.replace("cup", "rim")).status == 1
    assert run("evaluate", checkpoint, "split=test", "out=renamed", LABELS.replace("cup", "rim")).status == 0
    with (tmp_path / "scores" / "per_image.csv").open(newline="") as file:
        table = {row["id"]: row for row in csv.DictReader(file)}
    assert [*table] == [*SPLITS["test"]]
    dice: dict[str, list[float]] = {"disc": [], "cup": []}
    for name, row in table.items():
        with Image.open(tmp_path / "predicted" / "masks" / f"{name}.png") as file:
            assert file.mode == "P" and file.getpalette()[:9] == [0, 0, 0, *COLORS[0], *COLORS[1]]
            predicted = np.asarray(file)
        truth = np.asarray(Image.open(eyes / "masks" / f"{name}.png"))
        for number, (label, value) in enumerate({"disc": 85, "cup": 170}.items(), start=1):
            dice[label].append(naive_dice(predicted == number, truth == value))
            assert float(row[f"{label}_dice"]) == pytest.approx(dice[label][-1], abs=1e-6)
        assert float(row["dice"]) == pytest.approx((dice["disc"][-1] + dice["cup"][-1]) / 2, abs=1e-6)
    found = summary(tmp_path / "scores")
    assert {name: found["classes"][name]["dice"]["mean"] for name in dice} == pytest.approx(
        {name: np.mean(values) for name, values in dice.items()}
    )
    assert found == summary(trained / "evaluate" / "test") | {"checkpoint": found["checkpoint"], "tta": []}
    assert found["dice"]["mean"] > 0.3
    sheet = np.asarray(Image.open(tmp_path / "scores" / "contact_sheet.png"))
    assert all((sheet == color).all(axis=2).sum() > 100 for color in COLORS[:2])
