"""Only what is trusted is built, whatever a configuration says."""

import pytest
import torch

from fovea.runtime.instantiate import instantiate, locate, targets


def test_a_trusted_class_is_built_with_plain_arguments() -> None:
    loss = instantiate({"_target_": "torch.nn.BCEWithLogitsLoss", "reduction": "sum"})
    assert isinstance(loss, torch.nn.BCEWithLogitsLoss)
    assert loss.reduction == "sum"


def test_a_partial_is_called_later() -> None:
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
        "torch.nn.modules.module.torch.load",  # a stranger's function through a trusted module
        "fovea.data.images.files.os.scandir",
        "fovea.runtime.files.write_bytes",
        "fovea.data.images.files.write_image",  # ours, but a function that writes
        "segmentation_models_pytorch.from_pretrained",
        "fovea.data.store.Store.write",
        "hydra.utils.instantiate",
    ],
)
def test_everything_else_is_refused(target: str) -> None:
    with pytest.raises(ValueError, match="is not trusted"):
        instantiate({"_target_": target})


def test_a_nested_target_is_checked_before_anything_is_built() -> None:
    config = {"_target_": "torch.nn.Sequential", "_args_": [{"_target_": "os.getcwd"}]}
    with pytest.raises(ValueError, match=r"_args_\[0\]\._target_: os\.getcwd is not trusted"):
        instantiate(config)


def test_a_name_that_does_not_exist_is_named() -> None:
    with pytest.raises(ValueError, match=r"torch\.nn\.BCELos does not exist"):
        locate("torch.nn.BCELos")


def test_own_packages_are_trusted_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError):
        instantiate({"_target_": "fractions.Fraction"})
    monkeypatch.setenv("FOVEA_TRUSTED", "decimal, fractions")
    assert instantiate({"_target_": "fractions.Fraction"}) == 0


def test_a_wrong_argument_is_one_line() -> None:
    with pytest.raises(ValueError, match=r"torch.nn.BCEWithLogitsLoss cannot be built: TypeError.*wieght") as caught:
        instantiate({"_target_": "torch.nn.BCEWithLogitsLoss", "wieght": 1})
    assert "\n" not in str(caught.value)


def test_targets_come_with_their_keys() -> None:
    nested = {"a": {"_target_": "x"}, "b": [{"_target_": "y"}], "c": 1}
    assert [(key, target) for key, target, _ in targets(nested)] == [("a", "x"), ("b[0]", "y")]
