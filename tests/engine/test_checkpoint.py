"""Checkpoints are read as data and rebuilt; no code in them runs."""

import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from fovea.engine.build import build
from fovea.engine.checkpoint import load, read, without_downloads

CPU = torch.device("cpu")
CONFIG = {
    "backbone": {
        **{"_target_": "fovea.models.basic_unet.BasicUNet2d", "_partial_": True, "in_channels": 3, "classes": 1},
        **{"features": [4, 4, 8, 8, 8, 4], "groups": 4},
    },
    "loss": {"_target_": "torch.nn.BCEWithLogitsLoss"},
    "supervision": {
        **{"_target_": "fovea.supervision.multi_level.MultiLevel", "_partial_": True, "thresholds": [0.5, 0.3]},
        **{"consistency": "prop", "weight": 3.0, "init": "independent", "ensemble": "logits", "window": 100},
        **{"kernel_size": 5, "dilation": 2, "similarity": "dot"},
    },
}


def saved(path: Path, config: object = CONFIG, **more: object) -> Path:
    """A checkpoint as Lightning would write it."""
    state = {f"supervision.{key}": value for key, value in build(CONFIG).state_dict().items()}
    torch.save({"state_dict": state, "fovea": {"config": config}} | more, path)
    return path


def rename(path: Path, old: str, new: str) -> None:
    """Change the name of a module in a checkpoint, as if another version had written it."""
    with zipfile.ZipFile(path) as file:
        content = {name: file.read(name) for name in file.namelist()}
    with zipfile.ZipFile(path, "w") as file:
        for name, data in content.items():
            file.writestr(name, data.replace(f"c{old}\n".encode(), f"c{new}\n".encode()))


def test_loaded_model_predicts_as_the_saved_one(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = build(CONFIG).eval()
    state = {f"supervision.{key}": value for key, value in module.state_dict().items()}
    torch.save({"state_dict": state, "fovea": {"config": CONFIG}}, tmp_path / "a.ckpt")
    again, config, *_ = load(tmp_path / "a.ckpt", CPU)
    image = torch.randn(1, 3, 32, 32)
    torch.testing.assert_close(again(image, (32, 32)), module(image, (32, 32)), rtol=0, atol=0)
    assert config == CONFIG
    assert not again.training


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 cut short", None])
def test_other_file_is_refused(content: bytes | None, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such file"):
        load(tmp_path / "none.ckpt", CPU)
    path = saved(tmp_path / "a.ckpt")
    path.write_bytes(path.read_bytes()[:-2000] if content is None else content)
    with pytest.raises(ValueError, match="cut short" if content is None else "is not a checkpoint") as caught:
        load(path, CPU)
    assert "\n" not in str(caught.value)


ATTACK = {"_target_": "os.mkdir", "path": "attacked"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"backbone": ATTACK}, r"os\.mkdir is not trusted"),
        ({"loss": ATTACK}, r"os\.mkdir is not trusted"),
        ({"supervision": ATTACK}, r"os\.mkdir is not trusted"),
        ({"name": "${oc.env:HOME}"}, "interpolation"),
        ({"loss": None}, "loss is not in the configuration"),
        ({"backbone": CONFIG["backbone"] | {"features": [8] * 6}}, r"holds another model: \d+ weights differ"),
        ({"supervision": CONFIG["supervision"] | {"thresholds": [0.5]}}, r"levels\.1"),
        (
            {"data": {"normalize": {"_target_": "albumentations.Normalize", "mean": [0.5, 0.5]}}},
            r"a\.ckpt: data\.normalize\.mean must have 3 numbers, or 1 for all channels, got 2",
        ),
    ],
)
def test_another_configuration_is_refused(
    change: dict, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = {key: value for key, value in (CONFIG | change).items() if value is not None}
    with pytest.raises(ValueError, match=message):
        load(saved(tmp_path / "a.ckpt", config), CPU)
    assert not (tmp_path / "attacked").exists()


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    class Attack:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "attacked"),)

    path = tmp_path / "a.ckpt"
    torch.save({"state_dict": {}, "fovea": {"config": {}}, "x": Attack()}, path)
    with pytest.raises(ValueError, match="holds code"):
        load(path, CPU)
    path.write_bytes(pickle.dumps(Attack()))
    with pytest.raises(ValueError):
        load(path, CPU)
    assert not (tmp_path / "attacked").exists()


@pytest.mark.parametrize("content", [{"state_dict": {}}, {"fovea": {"config": CONFIG}}, {"fovea": 1, "state_dict": {}}])
def test_another_projects_checkpoint_is_refused(content: dict, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "a.ckpt")
    with pytest.raises(ValueError, match="has no configuration of fovea"):
        read(tmp_path / "a.ckpt")


@pytest.mark.parametrize("module", ["numpy._core.multiarray", "numpy.core.multiarray"])
def test_numbers_of_either_numpy_are_read(module: str, tmp_path: Path) -> None:
    numbers = [np.float64(0.25), np.float32(-1.5), np.int64(7), np.bool_(True), np.uint8(200)]
    saved(tmp_path / "a.ckpt", numbers=numbers)
    rename(tmp_path / "a.ckpt", np.float64(0).__reduce__()[0].__module__, module)
    loaded = read(tmp_path / "a.ckpt")["numbers"]
    assert loaded == numbers
    assert list(map(type, loaded)) == list(map(type, numbers))


@pytest.mark.parametrize("value", [np.zeros(2), np.array([{}], dtype=object), np.str_("x"), np.datetime64("2020")])
def test_nothing_else_of_numpy_is_read(value: object, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds code"):
        read(saved(tmp_path / "a.ckpt", value=value))


def test_rebuilding_downloads_nothing() -> None:
    config = {"backbone": {"encoder_weights": "imagenet", "options": [{"pretrained": "x", "depth": 3}]}}
    assert without_downloads(config) == {
        "backbone": {"encoder_weights": None, "options": [{"pretrained": None, "depth": 3}]}
    }
