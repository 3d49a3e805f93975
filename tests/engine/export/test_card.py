"""The model card."""

from pathlib import Path
from typing import Any

import pytest
from torch import nn

from fovea.engine.checkpoint import Loaded
from fovea.engine.export.card import write_card

DATA: dict[str, Any] = {"name": "mine", "channels": 3, "classes": 1, "size": 64}
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
    assert f"maps made from gaze, refined by none{line}\n" in text and ", 7 steps, seed unknown." in text
