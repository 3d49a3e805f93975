"""The model card."""

from pathlib import Path
from typing import Any

import pytest
from torch import nn

from fovea.engine.checkpoint import Loaded
from fovea.engine.export.card import write_card
from fovea.runtime.files import write_bytes, write_json

DATA: dict[str, Any] = {"name": "mine", "channels": 3, "classes": 1, "size": 64}
DATA["dataset"] = {"_target_": "fovea.data.images.folder.Folder"}
DATA["maps"] = {"labels": {"name": "gaze", "path": "DIR/gaze.csv"}, "refine": {"name": "none"}}
EXPORT = {"tta": [], "largest_difference": 0.0, "format": "onnx"}
FACTS = {"name": "Mine", "file": {"name": "a", "bytes": 1, "sha256": "0"}, "export": EXPORT}


@pytest.mark.parametrize(
    ("own", "line"), [({"thresholds": [0.5, 0.3]}, ", at the thresholds 0.5, 0.3."), ({"strength": 1.0}, ".")]
)
def test_labels_of_a_mode_with_and_without_thresholds(tmp_path: Path, own: dict[str, Any], line: str) -> None:
    supervision = {"_target_": "fovea.supervision.band.Band", **own}
    config = {"data": DATA, "backbone": {"_target_": "fovea.models.basic_unet.BasicUNet2d"}, "supervision": supervision}
    config["trainer"] = {"max_steps": 5000}  # a training may end earlier
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "best.ckpt").touch()
    (tmp_path / "training.json").write_text('{"steps": 7}')
    write_card(
        tmp_path,
        tmp_path / "checkpoints" / "best.ckpt",
        Loaded(nn.Linear(1, 1), config, [], []),
        FACTS | {"intended_use": "", "license": ""},
    )
    text = (tmp_path / "model_card.md").read_text(encoding="utf-8")
    assert "scaled to 8 bits first.\n" in text and "flips: " not in text
    assert f"maps made from gaze, refined by none{line}\n" in text and ", 7 steps, seed unknown." in text


def test_limits_name_the_scale_of_slices_and_other_flips_and_scores_those_of_each_class(tmp_path: Path) -> None:
    data = DATA | {"dataset": {"_target_": "fovea.data.images.nci_isbi.NciIsbi"}, "classes": 3}
    data["labels"] = {170: "cup", 85: "disc", 0: "background", 171: "cup"}  # in another order than the output
    one = {"dice": {"mean": 0.25, "ci95": None}, "iou": {"mean": 0.125}, "hd95": {"mean": 4.0, "unit": "mm"}}
    scores = one | {"classes": {"cup": one}, "n": 2, "select_on": "mask", "checkpoint": "RUN/best.ckpt", "tta": [-1]}
    path, config = tmp_path / "checkpoints" / "best.ckpt", {"data": data, "backbone": {"_target_": "a.B"}}
    write_json(tmp_path / "evaluate" / "test" / "summary.json", scores)
    write_bytes(path, b"")
    config["supervision"] = {"_target_": "fovea.supervision.full.Full"}
    write_card(tmp_path, path, Loaded(nn.Linear(1, 1), config, [], []), FACTS | {"intended_use": "", "license": ""})
    text = (tmp_path / "model_card.md").read_text(encoding="utf-8")
    assert "| classes | background, disc, cup |\n" in text
    assert "first: the lowest and the highest value of each slice become 0 and 255.\n" in text
    assert "The scores on test were measured with other flips: [-1].\n" in text
    assert "| test: cup | 2 | mask | 0.250 | 0.125 | 4.0 mm |\n" in text
    alone = tmp_path / "models" / "best.ckpt"  # beside the results of another model
    write_bytes(alone, b"")
    write_card(tmp_path, alone, Loaded(nn.Linear(1, 1), config, [], []), FACTS | {"intended_use": "", "license": ""})
    assert "No evaluation stands beside the checkpoint." in (tmp_path / "model_card.md").read_text(encoding="utf-8")
