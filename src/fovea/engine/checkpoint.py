"""Checkpoints: read without running code from them, rebuilt through the one function that instantiates."""

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.serialization import safe_globals

from fovea.engine.build import build
from fovea.runtime.errors import first_few

KEY = "fovea"  # where a checkpoint carries our configuration
BEGINNINGS = ("encoder_weights", "pretrained")  # keys of weights that a training begins with
PREFIX = "supervision."  # the Segmenter's name for the module that evaluate and predict call
_MEND = "give a file that fovea-train wrote, or for evaluation a published one of GazeMedSeg"
_SCALAR: Any = np.float64(0).__reduce__()[0]  # what NumPy makes a number of any type from its bytes with
# Published checkpoints hold a few scores as NumPy's numbers. This is what it takes to read those of real types, under
# the names of NumPy 1 and of NumPy 2; none of it runs code that the file brings.
NUMPY_NUMBERS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    (_SCALAR, "numpy.core.multiarray.scalar"),
    (_SCALAR, "numpy._core.multiarray.scalar"),
    np.dtype,
    *sorted({type(np.dtype(code)) for code in "?bBhHiIlLqQefd"}, key=str),
]


def load(path: Path, device: torch.device) -> tuple[nn.Module, dict[str, Any]]:
    """The trained supervision module, in evaluation mode on `device`, and the configuration it was trained with.

    A published checkpoint of GazeMedSeg has none; `fovea.models.released` states what it was trained with.

    Raises:
        ValueError: no such file, no checkpoint of either kind, an untrusted target, or weights of another model.
    """
    content = _content(path)
    published = None if KEY in content else _published(content)
    config, weights = published or _own(_checked(content, path))
    module = build(without_downloads(config))
    fill(module, weights, path)
    return module.to(device).eval(), config


def read(path: Path) -> dict[str, Any]:
    """The content of a checkpoint file that `fovea-train` wrote: tensors and plain values alone.

    Raises:
        ValueError: no such file, or not such a checkpoint.
    """
    return _checked(_content(path), path)


def _own(content: dict[str, Any]) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Configuration and weights of a checkpoint of ours."""
    state = content["state_dict"].items()
    return content[KEY]["config"], {key.removeprefix(PREFIX): each for key, each in state if key.startswith(PREFIX)}


def _published(content: dict[Any, Any]) -> tuple[dict[str, Any], dict[str, torch.Tensor]] | None:
    """The same of a published checkpoint; None if it is none."""
    from fovea.models.released import gazemedseg_config, gazemedseg_weights, holds_gazemedseg  # brings MONAI

    if not holds_gazemedseg(content):
        return None
    weights = gazemedseg_weights(content)
    config = gazemedseg_config(weights)
    running = torch.zeros(3, len(config["supervision"]["thresholds"]))  # what its levels learnt was not recorded
    return config, weights | {"agreement.running": running}


def _content(path: Path) -> dict[Any, Any]:
    """The content of any checkpoint file: tensors, plain values and NumPy's numbers alone."""
    if not path.is_file():
        raise ValueError(f"checkpoint: no such file {path}; a run folder has checkpoints/best.ckpt and last.ckpt")
    try:
        with safe_globals(NUMPY_NUMBERS), warnings.catch_warnings(action="ignore"):  # how a file was pickled
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the reader raises whatever a damaged file leads it into
        raise ValueError(f"checkpoint: {path} is no checkpoint, is cut short, or holds code; {_MEND}") from error
    return dict(content) if isinstance(content, Mapping) else {}


def _checked(content: dict[Any, Any], path: Path) -> dict[str, Any]:
    """The same content where it carries a configuration of ours and weights."""
    own = content.get(KEY)
    if not isinstance(own, Mapping) or not isinstance(own.get("config"), Mapping) or "state_dict" not in content:
        raise ValueError(f"checkpoint: {path} carries no configuration of fovea; {_MEND}")
    if "${" in str(own["config"]):  # OmegaConf would read the environment for it
        raise ValueError(f"checkpoint: {path} has an interpolation in its configuration; {_MEND}")
    return content


def fill(module: nn.Module, weights: Mapping[str, torch.Tensor], path: Path) -> None:
    """Load weights into a module, all of them.

    Raises:
        ValueError: names or shapes differ.
    """
    own = module.state_dict()
    wrong = [key for key, value in own.items() if key not in weights or weights[key].shape != value.shape]
    wrong += [key for key in weights if key not in own]
    if wrong:
        raise ValueError(
            f"checkpoint: {path} is of another model: {len(wrong)} weights differ in name or shape "
            f"({first_few(wrong, 2)}); train and load with the same backbone and supervision"
        )
    module.load_state_dict(weights)


def without_downloads(config: Any) -> Any:
    """The same configuration with every key of `BEGINNINGS` null, since the checkpoint brings the weights."""
    if isinstance(config, Mapping):
        return {key: None if key in BEGINNINGS else without_downloads(value) for key, value in config.items()}
    if isinstance(config, list):
        return [without_downloads(value) for value in config]
    return config
