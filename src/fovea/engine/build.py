"""From configuration to a supervision module, the same way for training, evaluation and prediction."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fovea.runtime.config import instantiate
from fovea.supervision.mode import Mode


def build(config: Mapping[str, Any]) -> Mode:
    """Build the mode of `config["supervision"]` from a backbone factory and a loss.

    Raises:
        ValueError: a part is missing from the configuration or cannot be built.
    """
    missing = [part for part in ("backbone", "loss", "supervision") if part not in config]
    if missing:
        raise ValueError(f"{missing[0]} is not in the configuration; add {missing[0]}=… or load a checkpoint of fovea")
    backbone = instantiate(config["backbone"])
    loss = instantiate(config["loss"])
    loss.register_forward_pre_hook(_in_float32)
    return instantiate(config["supervision"])(backbone=backbone, loss=loss)


def _in_float32(loss: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
    """No loss is computed in half precision: the sum over an image's pixels, as in Dice, would overflow."""
    return tuple(
        each.to(torch.promote_types(each.dtype, torch.float32))
        if isinstance(each, Tensor) and each.is_floating_point()
        else each
        for each in given
    )
