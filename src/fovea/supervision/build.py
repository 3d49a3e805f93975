"""From configuration to a supervision module, the same way for training, evaluation and prediction."""

from collections.abc import Mapping
from typing import Any

from fovea.runtime.errors import FoveaError
from fovea.runtime.instantiate import instantiate
from fovea.supervision.mode import Mode


def build(config: Mapping[str, Any]) -> Mode:
    """Build the mode of `config["supervision"]` from a backbone factory and a loss.

    Raises:
        FoveaError: a part is missing from the configuration or cannot be built.
    """
    missing = [part for part in ("backbone", "loss", "supervision") if part not in config]
    if missing:
        raise FoveaError(f"{missing[0]} is not in the configuration; add {missing[0]}=… or load a checkpoint of fovea")
    backbone = instantiate(config["backbone"])
    loss = instantiate(config["loss"])
    return instantiate(config["supervision"])(backbone=backbone, loss=loss)
