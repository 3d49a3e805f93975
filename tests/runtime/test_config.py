"""Configuration: only trusted classes are built, mandatory keys have values."""

import pytest
import torch
from omegaconf import OmegaConf

from fovea.runtime.config import config_folder, instantiate, locate, resolve, targets


def test_config_folder_is_found() -> None:
    assert (config_folder() / "train.yaml").is_file()


def test_mandatory_key_is_named() -> None:
    with pytest.raises(ValueError, match=r"^data\.root has no value: add data\.root=… to the command line$"):
        resolve(OmegaConf.create({"data": {"root": "???", "store": "${.root}/x"}}))


@pytest.mark.parametrize("seed", [-1, True, "0", 2**32])
def test_invalid_seed_is_refused(seed: object) -> None:
    with pytest.raises(ValueError, match=r"^seed must be"):
        resolve(OmegaConf.create({"seed": seed}))


def test_trusted_class_is_built() -> None:
    loss = instantiate({"_target_": "torch.nn.BCEWithLogitsLoss", "reduction": "sum"})
    assert isinstance(loss, torch.nn.BCEWithLogitsLoss)
    assert loss.reduction == "sum"


def test_partial_is_called_later() -> None:
    factory = instantiate({"_target_": "torch.optim.SGD", "_partial_": True, "lr": 0.5})
    assert factory([torch.nn.Parameter(torch.zeros(1))]).defaults["lr"] == 0.5


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "builtins.eval",
        "subprocess.Popen",
        "torch.load",
        "torch.hub.load",
        "torch.nn.modules.module.torch.load",  # another package's function through a trusted module
        "fovea.data.images.files.os.scandir",
        "fovea.runtime.files.write_bytes",
        "fovea.data.images.files.write_image",  # a function that writes
        "segmentation_models_pytorch.from_pretrained",
        "fovea.data.store.Store.write",
        "hydra.utils.instantiate",
    ],
)
def test_untrusted_target_is_refused(target: str) -> None:
    with pytest.raises(ValueError, match="is not trusted"):
        instantiate({"_target_": target})


def test_nested_target_is_checked_first() -> None:
    config = {"_target_": "torch.nn.Sequential", "_args_": [{"_target_": "os.getcwd"}]}
    with pytest.raises(ValueError, match=r"_args_\[0\]\._target_: os\.getcwd is not trusted"):
        instantiate(config)


def test_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"^loss: torch\.nn\.BCELos does not exist, the nearest are BCELoss"):
        locate("torch.nn.BCELos", "loss")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(self: object) -> None:
        raise ImportError("import einops (No module named 'einops').\n\nFor details about dependencies")

    monkeypatch.setattr(torch.nn.BCELoss, "__init__", build)
    with pytest.raises(
        ValueError, match=r"^loss: torch.nn.BCELoss needs a package .*: import einops \(.*\); install it$"
    ):
        instantiate({"_target_": "torch.nn.BCELoss"}, "loss")


def test_a_number_is_no_path() -> None:
    with pytest.raises(ValueError, match=r"^data\.root must be text, got 202401; in YAML write it in quotes$"):
        resolve(OmegaConf.create({"data": {"root": 202401}}))


def test_environment_adds_trusted_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError):
        instantiate({"_target_": "fractions.Fraction"})
    monkeypatch.setenv("FOVEA_TRUSTED", "decimal, fractions")
    assert instantiate({"_target_": "fractions.Fraction"}) == 0


def test_wrong_argument_is_one_line() -> None:
    with pytest.raises(ValueError, match=r"^loss: cannot build torch.nn.BCEWithLogitsLoss: Type.*wieght") as caught:
        instantiate({"_target_": "torch.nn.BCEWithLogitsLoss", "wieght": 1}, "loss")
    assert "\n" not in str(caught.value)


def test_a_keyword_of_no_argument_is_named_with_its_key() -> None:
    unet = {"_target_": "segmentation_models_pytorch.Unet", "_partial_": True}
    smp = {"_target_": "fovea.models.smp.SmpBackbone", "_partial_": True, "network": unet, "decoder_channel": 8}
    factory = instantiate({**smp, "encoder_name": "resnet18", "encoder_weights": None}, "backbone")
    with pytest.raises(ValueError, match=r"^backbone\.decoder_channel is not an option"):
        factory(in_channels=3, classes=1)


def test_targets_have_dotted_keys() -> None:
    nested = {"a": {"_target_": "x"}, "b": [{"_target_": "y"}], "c": 1}
    assert [(key, target) for key, target, _ in targets(nested)] == [("a", "x"), ("b[0]", "y")]
