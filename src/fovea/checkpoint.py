"""Checkpoints: read without running code from them, rebuilt through the one function that instantiates."""

import logging
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fovea.runtime.errors import FoveaError, first_few
from fovea.supervision.build import build

KEY = "fovea"  # where a checkpoint carries our configuration
PREFIX = "supervision."  # the Segmenter's name for the module that evaluate and predict call
log = logging.getLogger(__name__)


def load(path: Path, device: torch.device) -> tuple[nn.Module, dict[str, Any]]:
    """The trained supervision module, in evaluation mode on `device`, and the configuration it was trained with.

    Raises:
        FoveaError: no such file, not a checkpoint of ours, an untrusted target, or weights of another model.
    """
    content = read(path)
    config = content[KEY]["config"]
    module = build(without_downloads(config))
    weights = {
        key.removeprefix(PREFIX): value for key, value in content["state_dict"].items() if key.startswith(PREFIX)
    }
    fill(module, weights, path)
    return module.to(device).eval(), config


def read(path: Path) -> dict[str, Any]:
    """The content of a checkpoint file: tensors and plain values alone.

    Raises:
        FoveaError: no such file, or not a checkpoint that `fovea-train` wrote.
    """
    if not path.is_file():
        raise FoveaError(f"checkpoint: no such file {path}; a run folder has checkpoints/best.ckpt and last.ckpt")
    mend = "give a file that fovea-train wrote"
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, pickle.UnpicklingError) as error:
        raise FoveaError(f"checkpoint: {path} is no checkpoint, is cut short, or holds code; {mend}") from error
    own = content.get(KEY) if isinstance(content, Mapping) else None
    if not isinstance(own, Mapping) or not isinstance(own.get("config"), Mapping) or "state_dict" not in content:
        raise FoveaError(f"checkpoint: {path} carries no configuration of fovea; {mend}")
    if "${" in str(own["config"]):  # OmegaConf would read the environment for it
        raise FoveaError(f"checkpoint: {path} has an interpolation in its configuration; {mend}")
    return dict(content)


def fill(module: nn.Module, weights: Mapping[str, torch.Tensor], path: Path) -> None:
    """Load weights into a module, all of them.

    Raises:
        FoveaError: names or shapes differ.
    """
    own = module.state_dict()
    wrong = [key for key, value in own.items() if key not in weights or weights[key].shape != value.shape]
    wrong += [key for key in weights if key not in own]
    if wrong:
        raise FoveaError(
            f"checkpoint: {path} is of another model: {len(wrong)} weights differ in name or shape "
            f"({first_few(wrong, 2)}); train and load with the same backbone and supervision"
        )
    module.load_state_dict(weights)


def without_downloads(config: Any) -> Any:
    """The same configuration with every `encoder_weights` null, since the checkpoint brings the weights."""
    if isinstance(config, Mapping):
        return {key: None if key == "encoder_weights" else without_downloads(value) for key, value in config.items()}
    if isinstance(config, list):
        return [without_downloads(value) for value in config]
    return config
