"""Published checkpoints through the real commands."""

import csv
import os
from collections.abc import Callable
from pathlib import Path

import albumentations as A
import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from fovea.data.images.samples import resize_image, to_tensor
from fovea.models import released
from fovea.models.released import load_gazemedseg

from ..data.images.test_inputs import write_slice
from .commands import Run, folder, summary

pytestmark = pytest.mark.slow

SIDE = 64  # of the images, for the time it takes
FIRST = "model.0.encoder.conv_0.conv_0.conv.weight"


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use smaller images than the published 224 pixels."""
    monkeypatch.setattr(released, "SIZE", SIDE)


@pytest.fixture(scope="module")
def level(filled: Callable[[str], dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Return the tensors of one level in the published layout, with weights from a formula."""
    every = filled("gazemedseg_checkpoint_layout.json")
    return {name: value for name, value in every.items() if name.startswith("model.0.")}


@pytest.fixture(scope="module")
def published(level: dict[str, torch.Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save two levels that differ in their readout, with what the release keeps beside the weights."""
    second = {name.replace("model.0.", "model.1."): value for name, value in level.items()}
    second["model.1.classifier.weight"] = second["model.1.classifier.weight"].flip(1)
    parameter = torch.nn.Parameter(torch.ones(1))
    parameter.grad = torch.ones(1)
    optimizer = torch.optim.SGD([parameter], lr=0.1, momentum=0.9)
    optimizer.step()
    beside = {"best_dice": np.float64(0.7886), "iteration": np.int64(15000), "optimizer": optimizer.state_dict()}
    path = tmp_path_factory.mktemp("published") / "kvasir.pth"
    torch.save({"model": level | second} | beside, path)
    return path


def test_is_evaluated_and_predicted_as_published(
    run: Run, published: Path, level: dict[str, torch.Tensor], dataset: Path, tmp_path: Path
) -> None:
    options = [f"checkpoint={published}", *folder(dataset), "split=test", "data.num_workers=0", "sheet_rows=0"]
    result = run("evaluate", *options, "out=out")
    assert result.status == 0 and result.errors == []
    scores = summary(tmp_path / "out")
    assert scores["levels"].keys() == {"level_1", "level_2"} and scores["n"] == 2
    (tmp_path / "input").mkdir()
    for name in "ij":
        os.link(dataset / "images" / f"{name}.png", tmp_path / "input" / f"{name}.png")
    result = run("predict", f"checkpoint={published}", "input=input", "out=predicted")
    assert result.status == 0 and result.errors == []

    network = load_gazemedseg(torch.load(published, weights_only=False)["model"])
    with (tmp_path / "out" / "per_image.csv").open() as file:
        dice = {row["id"]: float(row["dice"]) for row in csv.DictReader(file)}
    for name in "ij":
        image = np.asarray(Image.open(dataset / "images" / f"{name}.png"))
        with torch.inference_mode():
            logits = network(to_tensor(resize_image(image, SIDE), A.Normalize())[None])
            logits = F.interpolate(logits, size=image.shape[:2], mode="bilinear", align_corners=False)[0, 0].numpy()
        guess = np.asarray(Image.open(tmp_path / "predicted" / "masks" / f"{name}.png")) > 0
        sure = np.abs(logits) > 1e-3 * np.abs(logits).max()
        assert sure.mean() > 0.9 and 0 < guess.mean() < 1
        assert np.array_equal(guess[sure], logits[sure] > 0)
        truth = np.asarray(Image.open(dataset / "masks" / f"{name}.png")) > 0
        assert dice[name] == pytest.approx(2 * (guess & truth).sum() / (guess.sum() + truth.sum()), abs=1e-6)


def test_one_channel_reads_slices(run: Run, level: dict[str, torch.Tensor], tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 900, (40, 30)).astype(np.uint16)
    write_slice(tmp_path / "slices" / "p_1.dcm", pixels)
    gray = level | {FIRST: level[FIRST][:, :1].clone()}
    torch.save(gray, tmp_path / "nci_isbi.pth")

    assert run("predict", "checkpoint=nci_isbi.pth", "input=slices", "out=out").status == 0

    eight_bit = ((pixels - pixels.min()) / np.ptp(pixels) * 255).astype(np.uint8)
    resized = resize_image(eight_bit[:, :, None], SIDE).astype(np.float32)
    score = torch.from_numpy((resized - resized.mean()) / resized.std()).permute(2, 0, 1)[None]
    with torch.inference_mode():
        logits = F.interpolate(load_gazemedseg(gray)(score), size=(40, 30), mode="bilinear")[0, 0].numpy()
    guess = np.asarray(Image.open(tmp_path / "out" / "masks" / "p_1.png")) > 0
    sure = np.abs(logits) > 1e-2 * np.abs(logits).max()
    assert sure.mean() > 0.5
    assert np.array_equal(guess[sure], logits[sure] > 0)


def test_data_of_other_channels_is_refused(run: Run, published: Path, dataset: Path) -> None:
    error = run("evaluate", f"checkpoint={published}", *folder(dataset), "data.channels=1").error("evaluate")
    assert "data.channels=1" in error and "data.channels=3" in error
