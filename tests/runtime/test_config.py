"""Configuration: only trusted classes are built, mandatory keys have values."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from fovea.runtime.bounds import NonNegative, check_values
from fovea.runtime.config import instantiate, locate, path_of, resolve, targets
from fovea.runtime.one_line import one_line


@pytest.mark.parametrize(
    "target",
    [
        *("os.system", "builtins.eval", "subprocess.Popen", "torch.load", "torch.hub.load", "hydra.utils.instantiate"),
        "torch.nn.modules.module.torch.load",  # another package's function through a trusted module
        "fovea.data.images.files.os.scandir",
        *("fovea.runtime.files.write_bytes", "fovea.data.volumes.nifti.save"),  # functions that write
        *("segmentation_models_pytorch.from_pretrained", "fovea.data.store.Store.write"),
    ],
)
def test_untrusted_target_is_refused(target: str) -> None:
    with pytest.raises(ValueError, match="is not trusted"):
        instantiate({"_target_": target})
    with pytest.raises(ValueError, match=r"^_args_\[0\]\._target_: .*is not trusted"):
        instantiate({"_target_": "torch.nn.Sequential", "_args_": [{"_target_": target}]})


def test_trusted_classes_are_built(monkeypatch: pytest.MonkeyPatch) -> None:
    loss = instantiate({"_target_": "torch.nn.BCEWithLogitsLoss", "reduction": "sum"})
    assert isinstance(loss, torch.nn.BCEWithLogitsLoss) and loss.reduction == "sum"
    factory = instantiate({"_target_": "torch.optim.SGD", "_partial_": True, "lr": 0.5})
    assert factory([torch.nn.Parameter(torch.zeros(1))]).defaults["lr"] == 0.5
    with pytest.raises(ValueError):
        instantiate({"_target_": "fractions.Fraction"})
    monkeypatch.setenv("FOVEA_TRUSTED", "decimal, fractions")
    assert instantiate({"_target_": "fractions.Fraction"}) == 0


def test_a_package_of_your_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = "from fovea.runtime.bounds import Fraction\nclass Loss:\n    def __init__(self, alpha: Fraction): ...\n"
    broken = {"broken": "import parts_of_nobody", "typo": "x = 1 +", "ended": "raise KeyboardInterrupt('SIGHUP')"}
    for name, text in {"__init__": "", "parts": parts, **broken}.items():
        (tmp_path / "own_lab").mkdir(exist_ok=True)
        (tmp_path / "own_lab" / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(
        ValueError, match=r"^loss\._target_: own_lab.parts.Loss is not .* trust .* FOVEA_TRUSTED=own_lab$"
    ):
        instantiate({"_target_": "own_lab.parts.Loss", "alpha": 0.5}, "loss")
    monkeypatch.setenv("FOVEA_TRUSTED", "a_lab, b_lab.")
    with pytest.raises(ValueError, match=r"FOVEA_TRUSTED=a_lab,b_lab,own_lab$"):
        instantiate({"_target_": "own_lab.parts.Loss"}, "loss")
    monkeypatch.setenv("FOVEA_TRUSTED", "own_lab,their_lab")
    assert instantiate({"_target_": "own_lab.parts.Loss", "alpha": 0.5}, "loss")
    for target, message in {
        "own_lab.parts.Loss": r"loss\.alpha must be at most 1, got 2$",
        "own_lab.parts.Los": r"loss\._target_: own_lab.parts.Los does not exist, the nearest are Loss; check it$",
        "their_lab.parts.Loss": r".*their_lab.parts.Loss does not exist; there is no package their_lab on PYTHONPATH$",
        "own_lab.broken.Loss": r".*cannot import own_lab.broken \(ModuleNotFound.*parts_of_nobody'\); install it$",
        "own_lab.typo.Loss": r".*cannot import .*typo.py \(SyntaxError: invalid .* \(typo.py, line 1\)\); correct it$",
    }.items():
        with pytest.raises(ValueError, match=f"^{message}"):
            instantiate({"_target_": target, "alpha": 2}, "loss")
    with pytest.raises(KeyboardInterrupt, match="SIGHUP"):  # by a signal during the import
        locate("own_lab.ended.Loss")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"data": {"root": "???", "store": "${.root}/x"}},
            r"^data\.root has no value: add data\.root=… to the command line$",
        ),
        ({"data": {"root": 202401}}, r"^data\.root must be text, got 202401; in YAML write it in quotes$"),
        *(({"seed": seed}, r"^seed must be") for seed in (-1, True, "0", 2**32)),
    ],
)
def test_a_value_that_no_command_can_use_is_refused(config: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        resolve(OmegaConf.create(config))


def test_a_path_is_not_null() -> None:
    assert path_of({"out": "~/a"}, "out") == Path.home() / "a"
    with pytest.raises(ValueError, match=r"^out must be a path, got null; set out=PATH$"):
        path_of({"out": None}, "out")


@pytest.mark.parametrize(
    ("hint", "value", "message"),
    [
        (Mapping[str, Any], "auroc", "a must be keys with values in braces, got 'auroc'"),
        (Mapping[str, Any] | None, [1], r"a must be keys with values in braces, got \[1\]"),
        (Mapping[str, NonNegative], {"gaze": -1}, r"a\.gaze must be at least 0, got -1"),
        (Mapping[str, Sequence[str] | str | None], {"x": [1]}, r"a\.x must be text, got \[1\]"),
        (Mapping[str, Mapping[str, str]], {"x": {"left": 1}}, r"a\.x\.left must be text, got 1"),
    ],
)
def test_a_value_below_a_key_is_named(hint: Any, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        check_values({"a": hint}, {"a": value}, "")


def test_wrong_names_and_arguments_are_named_with_their_key() -> None:
    with pytest.raises(ValueError, match=r"^loss: torch\.nn\.BCELos does not exist, the nearest are BCELoss"):
        locate("torch.nn.BCELos", "loss")
    with pytest.raises(ValueError, match=r"^loss: cannot build torch.nn.BCEWithLogitsLoss: Type.*wieght") as caught:
        instantiate({"_target_": "torch.nn.BCEWithLogitsLoss", "wieght": 1}, "loss")
    assert "\n" not in str(caught.value)
    warmup = "fovea.engine.schedules.cosine_with_warmup"
    for config, message in {
        (warmup, "warmup_steps"): r"^part\.warmup_steps must be at least 0, got -1$",
        (warmup, "warmup_step"): r"did you mean part\.warmup_steps\? or remove it: '~part\.warmup_step'$",
        ("fovea.models.smp.SmpBackbone", "encoder_name"): r"^part\.encoder_name must be text, got -1$",
        ("torch.optim.AdamW", "momentum"): r"^part\.momentum is not .* of torch\.optim\.AdamW; there are params, lr",
        ("fovea.supervision.tta.MeanOverFlips", "axes"): r"^part\.axes must be a list in brackets, got -1$",
        ("fovea.data.volumes.source.Volumes", "drop_last"): r"^part\.drop_last must be true or false, got -1$",
        ("fovea.importers.maps.Maps", "folders"): r"^part\.folders must be a list in brackets, got -1$",
        ("fovea.data.volumes.source.Volumes", "largest_component"): r"^part\..* must be true or false, got -1$",
        ("fovea.data.images.folder.Folder", "split_seed"): r"^part\.split_seed must be at least 0, got -1$",
        ("fovea.data.images.synthetic.Synthetic", "split_seed"): r"^part\.split_seed must be at least 0, got -1$",
        ("pytorch_lightning.Trainer", "max_step"): r"did you mean part\.max_steps\? or remove it",
        ("albumentations.Affine", "rotat"): r"did you mean part\.rotate\? or remove it",
        ("albumentations.Affine", "p"): r"^part\.p: Input should be greater than or equal to 0, got -1$",
    }.items():
        with pytest.raises(ValueError, match=message):
            instantiate({"_target_": config[0], "_partial_": config[1] != "p", config[1]: -1}, "part")
    with pytest.raises(ValueError, match=r"; or remove it: '~part\.a' '~part\.b'$"):
        instantiate({"_target_": "fovea.engine.schedules.constant", "a": 1, "b": 2}, "part")
    unet = {"_target_": "segmentation_models_pytorch.Unet", "_partial_": True}
    smp = {"_target_": "fovea.models.smp.SmpBackbone", "_partial_": True, "network": unet, "decoder_channel": 8}
    factory = instantiate({**smp, "encoder_name": "resnet18", "encoder_weights": None}, "backbone")
    with pytest.raises(ValueError, match=r"^backbone\.decoder_channel is not an option"):
        factory(in_channels=3, classes=1)


def test_a_key_is_named_once(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    synthetic = {"_target_": "fovea.data.images.synthetic.Synthetic", "root": str(tmp_path)}
    with pytest.raises(ValueError, match=r"^data\.root: .* exists, but holds no generated images") as caught:
        instantiate(synthetic, "data")
    assert one_line(caught.value) == str(caught.value)  # it is not its own cause


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(self: object) -> None:
        raise ImportError("import einops (No module named 'einops').\n\nFor details about dependencies")

    monkeypatch.setattr(torch.nn.BCELoss, "__init__", build)
    with pytest.raises(
        ValueError, match=r"^loss: torch.nn.BCELoss needs a package .*: import einops \(.*\); install it$"
    ):
        instantiate({"_target_": "torch.nn.BCELoss"}, "loss")


def test_targets_have_dotted_keys() -> None:
    nested = {"a": {"_target_": "x"}, "b": [{"_target_": "y"}], "c": 1}
    assert [(key, target) for key, target, _ in targets(nested)] == [("a", "x"), ("b[0]", "y")]
