"""Run folders as `fovea-train` leaves them, without a training."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

IDS = [f"image{number}" for number in range(24)]
MakeRun = Callable[..., Path]


def write_run(
    folder: Path,
    changes: Mapping[str, Any] = {},
    seed: int = 0,
    dice: float = 0.5,
    ids: Sequence[str] = IDS,
    size: float | None = 0.1,
    split: str = "val",
    until: str = "evaluated",
    labels: Mapping[str, int] | None = None,
) -> Path:
    """Write a run folder.

    Args:
        folder: The run folder.
        changes: Overrides beside the seed: keys of the configuration, or the choice of a group.
        seed: Its seed.
        dice: The mean score.
        ids: The ids of the images, two for each patient.
        size: The size of every lesion; None leaves the column out.
        split: The split that was evaluated.
        labels: The number of images with each kind of label; None: a run of an older version, which does not tell.
        until: How far it came: `begun`, `cut` (it has a checkpoint), `trained` or `evaluated`.
    """
    config = settings(folder, seed)
    for key, value in changes.items():
        target = f"{key}._target_" if key == "supervision" else key
        OmegaConf.update(config, target, f"fovea.{value}.{value.title()}" if target != key else value)
    folder.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(config, folder / "config.yaml", resolve=True)
    overrides = [f"seed={seed}", *(f"{key}={value}" for key, value in changes.items())]
    git = {"commit": "0123456789abcdef", "state": "clean"}
    line = {"command": f"fovea-train {' '.join(overrides)}", "overrides": overrides}
    about = line | {"git": git, "python": "3.11", "versions": {"torch": "2.6"}, "platform": "Linux"}
    (folder / "provenance.json").write_text(json.dumps(about))
    rows = [f"{step},{1 - step / 100},\n{step},,{dice * step / 30}\n" for step in (9, 19, 29)]
    (folder / "metrics.csv").write_text("step,train/loss,val/dice\n" + "".join(rows))
    if until != "begun":
        (folder / "checkpoints").mkdir(exist_ok=True)
        (folder / "checkpoints" / "last.ckpt").touch()
    if until in ("trained", "evaluated"):
        facts = {"seconds": 12.5, "steps": 30} | ({} if labels is None else {"labels": dict(labels)})
        (folder / "training.json").write_text(json.dumps(facts))
    if until == "evaluated":
        write_evaluation(folder / "evaluate" / split, dice, seed, ids, size, split)
    return folder


def settings(folder: Path, seed: int) -> Any:
    """Return a configuration with the keys that tests change."""
    data = {"name": "folder", "root": "/data/mine", "channels": 3, "classes": 1, "fraction": 1.0, "seed": seed}
    mode = {"_target_": "fovea.supervision.multi_level.MultiLevel", "thresholds": [0.5, 0.3], "consistency": "prop"}
    return OmegaConf.create(
        {
            **{"seed": seed, "run_dir": str(folder), "data": data, "supervision": mode, "store": "stores/sigma70.0"},
            "labels": {"sigma": 70.0, "path": "${data.root}/fixations.csv"},
            "optimizer": {"_target_": "torch.optim.AdamW", "lr": 0.01},
            "callbacks": {"last": {"dirpath": f"{folder}/checkpoints"}, "other": {"at": f"{folder}/here"}},
            "scheduler": {"_target_": "fovea.engine.schedules.constant"},
            "trainer": {"max_steps": 30, "log_every_n_steps": 10},
        }
    )


def write_evaluation(folder: Path, dice: float, seed: int, ids: Sequence[str], size: float | None, split: str) -> None:
    """Write an evaluation with scores near `dice`, drawn by the seed, and a contact sheet."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    scores = np.clip(dice + np.linspace(-0.2, 0.2, len(ids)) + rng.normal(0, 0.02, len(ids)), 0, 1)
    sizes = "" if size is None else f",{size}"
    names = [name.replace('"', '""') for name in ids]
    rows = "".join(f'"{names[i]}",p{i // 2},{score:.6f}{sizes}\n' for i, score in enumerate(scores))
    (folder / "per_image.csv").write_text(f"id,patient,dice{'' if size is None else ',size'}\n{rows}")
    (folder / "summary.json").write_text(json.dumps({"split": split, "select_on": "mask"}))
    Image.fromarray(rng.integers(0, 255, (60, 90, 3), np.uint8)).save(folder / "contact_sheet.png")


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Return `write_run` for a name in the folder `runs` of the test."""

    def make(name: str, changes: Mapping[str, Any] = {}, **how: Any) -> Path:
        return write_run(tmp_path / "runs" / name, changes, **how)

    return make
