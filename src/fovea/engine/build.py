"""Build a supervision module from a configuration, in the same way for training, evaluation and prediction."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from fovea.engine.preflight import check_mode
from fovea.losses.ignore import IgnoreLabel
from fovea.losses.precision import single
from fovea.models.backbone import Backbone
from fovea.models.by_modality import ByModality, SharedBackbone
from fovea.runtime.config import instantiate, locate
from fovea.supervision.mode import Mode


def build(config: Mapping[str, Any]) -> Mode:
    """Build the mode of `config["supervision"]`; a ValueError if a part is missing or invalid, or parts do not fit."""
    if missing := [part for part in ("backbone", "loss", "supervision") if part not in config]:
        raise ValueError(f"{missing[0]} is not in the configuration; add {missing[0]}=… or load a checkpoint of fovea")
    data = config.get("data", {})
    kind = check_mode(locate(config["supervision"]["_target_"], "supervision._target_"), data)
    loss = instantiate(config["loss"], "loss", nn.Module)
    loss.register_forward_pre_hook(_in_float32)
    partial_labels = data.get("ignore_label"), data.get("labeled_slices"), (data.get("predicted") or {}).get("path")
    if any(key is not None for key in partial_labels):
        loss = IgnoreLabel(loss)
    backbone, network = instantiate(config["backbone"], "backbone"), locate(config["backbone"]["_target_"])
    if data.get("slices") and isinstance(network, type) and issubclass(network, Backbone):
        backbone = partial(SharedBackbone, data["modalities"], data["classes"], backbone)
    module: Mode = instantiate(config["supervision"], "supervision")(backbone=backbone, loss=loss)
    trained = module.parameters() if isinstance(module, nn.Module) else ()
    if not any(each.requires_grad for each in trained):
        fix = "derive it from Mode, and assign networks to its attributes, several as an nn.ModuleList"
        raise ValueError(f"supervision: {type(module).__name__} has no parameter to train; {fix}")
    if data:
        _check(module, loss, data["classes"], "slices" if data.get("slices") else kind)
    return module


def _check(module: Mode, loss: nn.Module, classes: int, kind: str) -> None:
    """Refuse a network of another kind of data, and a loss that does not accept masks of these classes."""
    several = "cross_modality, each_modality or early_fusion"
    kinds: dict[str, tuple[tuple[type[nn.Module], ...], str]] = {
        "images": ((ByModality,), "smp or basic_unet"),
        "volumes": ((Backbone,), f"{several}, or set data.slices=true"),
        "slices": ((), several),
    }
    other, choices = kinds[kind]
    if wrong := next((part for part in module.modules() if isinstance(part, other)), None):
        raise ValueError(f"backbone: {type(wrong).__name__} does not read {kind}; choose backbone={choices}")
    labels = (torch.arange(8**3) % max(classes, 2)).view(1, *((8, 8, 8) if kind == "volumes" else (8, 64)))
    right = 8.0 * nn.functional.one_hot(labels, max(classes, 2)).movedim(-1, 1) - 4
    right, target = (right[:, 1:], labels[:, None].float()) if classes == 1 else (right, labels)
    refused = f"loss: not a loss for classes={classes} ({{}}); choose loss=dice_ce"
    try:
        costs = loss(right, target), loss(-right, target)
    except Exception as error:  # losses of other packages raise what they like
        raise ValueError(refused.format(" ".join(str(error).split()))) from error
    if not isinstance(costs[0], Tensor) or costs[0].dim():
        raise ValueError(refused.format("it returns no scalar tensor: take the mean"))
    if not costs[0] < costs[1]:
        raise ValueError(refused.format("wrong logits cost no more than right ones"))


def _in_float32(loss: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Convert half precision to float32, since sums over the pixels of an image overflow."""
    return tuple(
        single(value) if isinstance(value, Tensor) and value.is_floating_point() else value for value in arguments
    )
