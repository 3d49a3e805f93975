"""What trackers get of an evaluation."""

from pathlib import Path

import pytest
from pytorch_lightning.loggers import TensorBoardLogger

from fovea.engine.tracking import publish


def test_the_means_are_those_of_all_and_of_each_class_and_modality(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: dict[str, float] = {}
    monkeypatch.setattr(TensorBoardLogger, "log_metrics", lambda self, metrics, step: logged.update(metrics))
    means = {"": 0.5, "cup": 0.6, "LGE": 0.7}
    of = {name: {"dice": {"mean": mean}, "n": 3} for name, mean in means.items()}
    summary = of[""] | {"classes": {"cup": of["cup"]}, "groups": {"LGE": of["LGE"]}, "metrics": {"auroc": 0.9}}
    publish([TensorBoardLogger(tmp_path)], tmp_path, tmp_path / "best.ckpt", 3, {"val": (summary, [])})
    start = "evaluate/val/"
    expected = {f"{start}dice": 0.5, f"{start}cup_dice": 0.6, f"{start}LGE_dice": 0.7, f"{start}auroc": 0.9}
    assert logged == expected
