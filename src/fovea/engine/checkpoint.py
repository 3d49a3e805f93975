"""Read checkpoints without running code from them, and rebuild their modules by `instantiate`."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.serialization import safe_globals

from fovea.engine.build import build
from fovea.engine.finite import not_numbers
from fovea.engine.preflight import check_normalize
from fovea.runtime.config import locate
from fovea.runtime.errors import first_few
from fovea.runtime.moved import upgrade
from fovea.supervision.tta import MeanOverModels

KEY = "fovea"  # of our configuration in a checkpoint
PRETRAINED = ("encoder_weights", "pretrained")  # keys of weights that a training starts from
PREFIX = "supervision."  # the Segmenter's name for the module that evaluate and predict call
_FIX = "give a file that fovea-train wrote, or for evaluation a published one of GazeMedSeg or CMC"
_SCALAR: Any = np.float64(0).__reduce__()[0]  # NumPy's function that makes a number of any type from bytes
# Published checkpoints hold a few scores as NumPy numbers. These names, of NumPy 1 and NumPy 2, read numbers of real
# types; none of them runs code from the file.
NUMPY_NUMBERS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    (_SCALAR, "numpy.core.multiarray.scalar"),
    (_SCALAR, "numpy._core.multiarray.scalar"),
    np.dtype,
    *sorted({type(np.dtype(code)) for code in "?bBhHiIlLqQefd"}, key=str),
]


class Loaded(NamedTuple):
    """A trained supervision module, and what its checkpoint tells about the training."""

    module: nn.Module  # in evaluation mode
    config: dict[str, Any]  # under the present names, see `fovea.runtime.moved`
    ids: list[str]  # of the images that it was trained on; empty for an old or a published checkpoint
    classes: list[str]  # names without the background; empty for one class, an old or a published checkpoint


def load(path: Path, device: torch.device) -> Loaded:
    """Return the trained supervision module on `device`, with its training configuration.

    For a published checkpoint of GazeMedSeg or CMC, `fovea.models.released` provides the latter. A
    ValueError for no such file, another origin, an untrusted target, or weights of another model.
    """
    content = _content(path)
    if KEY not in content and (published := _published(content)):
        config, weights = published
    else:
        content = _checked(content, path)
        config, weights = content[KEY]["config"], weights_of(content)
    module = build(without_downloads(config))
    fill(module, weights, path)
    data = content.get("DataModule", {})
    return Loaded(module.to(device).eval(), config, list(data.get("ids", [])), list(data.get("classes", [])))


def load_all(paths: Sequence[Path], device: torch.device) -> tuple[Loaded, list[Loaded]]:
    """Return several trained modules as one that predicts their mean, and each of them.

    The rest is of the first; `ids` are those of all. A ValueError if a file is not one that `load` takes, or if the
    networks do not read the same input or have other classes.
    """
    every = [load(path, device) for path in paths]
    first = every[0]
    for path, other in zip(paths, every, strict=True):
        _refuse_other_input(paths[0], first, path, other)
    if len(every) == 1:
        return first, every
    module = MeanOverModels([each.module for each in every])
    return first._replace(module=module, ids=[*dict.fromkeys(chain.from_iterable(each.ids for each in every))]), every


def _refuse_other_input(path: Path, first: Loaded, other_path: Path, other: Loaded) -> None:
    """Refuse a network that does not read and return what the first one does."""
    mine, theirs = first.config["data"], other.config["data"]
    keys = locate(mine["_target_"], "checkpoint: data._target_").model_keys
    defaults = {"_target_": None, **dict.fromkeys(keys), "largest_component": None, "range": None, "exif": "ignore"}
    same = {key: [data.get(key) or default for data in (mine, theirs)] for key, default in defaults.items()}
    different = [f"data.{key}" for key, (value, other_value) in same.items() if value != other_value]
    if first.classes != other.classes:
        different.append("the names of their classes")
    if different:
        fix = "give networks that read the same input"
        raise ValueError(f"checkpoint: {path} and {other_path} differ in {first_few(different, 2)}; {fix}")


def read(path: Path) -> dict[str, Any]:
    """Return the content of a checkpoint of `fovea-train` under the present names; a ValueError for any other file."""
    return _checked(_content(path), path)


def _checked(content: dict[Any, Any], path: Path) -> dict[str, Any]:
    """Return the content with its configuration under the present names; refuse other checkpoints."""
    own = content.get(KEY)
    if not isinstance(own, Mapping) or not isinstance(own.get("config"), Mapping) or "state_dict" not in content:
        raise ValueError(f"checkpoint: {path} has no configuration of fovea; {_FIX}")
    if "${" in str(own["config"]):  # OmegaConf would resolve it, e.g. from the environment
        raise ValueError(f"checkpoint: {path} has an interpolation in its configuration; {_FIX}")
    try:
        config = upgrade(own["config"])
        check_normalize(config.get("data") or {})  # other versions of albumentations may fit other numbers
    except ValueError as error:
        raise ValueError(f"checkpoint: {path}: {error}") from error
    return content | {KEY: {**own, "config": config}}


def weights_of(content: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Return the weights of the supervision module in a checkpoint."""
    state = content["state_dict"].items()
    return {key.removeprefix(PREFIX): value for key, value in state if key.startswith(PREFIX)}


def _published(content: dict[Any, Any]) -> tuple[dict[str, Any], dict[str, torch.Tensor]] | None:
    """Return configuration and weights of a published checkpoint; None if it is not one."""
    from fovea.models import released  # imports MONAI

    if released.holds_gazemedseg(content):
        weights = released.gazemedseg_weights(content)
        config = released.gazemedseg_config(weights)
        running = torch.zeros(3, len(config["supervision"]["thresholds"]))  # the agreement of levels was not published
        return config, weights | {"agreement.running": running}
    if released.holds_cmc(content):
        weights = released.cmc_weights(content)
        return released.cmc_config(weights), {f"network.{name}": value for name, value in weights.items()}
    return None


def _content(path: Path) -> dict[Any, Any]:
    """Return the content of any checkpoint file: tensors, plain values and NumPy numbers only."""
    if not path.is_file():
        raise ValueError(f"checkpoint: no such file {path}; a run folder has checkpoints/best.ckpt and last.ckpt")
    try:
        with safe_globals(NUMPY_NUMBERS), warnings.catch_warnings(action="ignore"):  # about the pickle format
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file may raise anything
        raise ValueError(f"checkpoint: {path} is not a checkpoint, is cut short, or holds code; {_FIX}") from error
    return dict(content) if isinstance(content, Mapping) else {}


def fill(module: nn.Module, weights: Mapping[str, torch.Tensor], path: Path) -> None:
    """Load all weights of a module; a ValueError if names or shapes differ, or a weight is not a number."""
    if broken := not_numbers(weights):
        raise ValueError(f"checkpoint: {path} has weights that are not numbers ({first_few(broken, 2)}); give another")
    own = module.state_dict()
    wrong = [key for key, value in own.items() if key not in weights or weights[key].shape != value.shape]
    wrong += [key for key in weights if key not in own]
    if wrong:
        few = f"{len(wrong)} weights differ in name or shape ({first_few(wrong, 2)})"
        raise ValueError(f"checkpoint: {path} holds another model: {few}; load it with its own backbone=…")
    module.load_state_dict(weights)


def without_downloads(config: Any) -> Any:
    """Return the configuration with every key of `PRETRAINED` null, since the checkpoint has the weights."""
    if isinstance(config, Mapping):
        return {key: None if key in PRETRAINED else without_downloads(value) for key, value in config.items()}
    if isinstance(config, list):
        return [without_downloads(value) for value in config]
    return config
