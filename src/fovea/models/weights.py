"""Weights from checkpoints of other projects."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from fovea.runtime.errors import first_few

log = logging.getLogger(__name__)


def tensors_of(content: object) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint by name, without the prefix `module.` of DataParallel.

    Checkpoints hold them beside other things (`state_dict`, `model`, …). Of all mappings at most two levels deep, it
    takes the one with the most tensors.
    """
    mappings: list[Mapping[Any, Any]] = [content] if isinstance(content, Mapping) else []
    for _ in range(2):
        mappings += [value for mapping in mappings for value in mapping.values() if isinstance(value, Mapping)]
    tensors = (
        {str(name).removeprefix("module."): value for name, value in mapping.items() if isinstance(value, Tensor)}
        for mapping in mappings
    )
    return max(tensors, key=len, default={})


def read_tensors(path: str) -> dict[str, Tensor]:
    """Return the tensors of a file, without running code from it; a ValueError if it cannot be read."""
    if not Path(path).is_file():
        raise ValueError(f"{path}: no such file; give a file of weights, or null")
    try:
        if path.endswith(".safetensors"):
            return tensors_of(load_file(path))
        return tensors_of(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # the reader raises various errors on damaged files
        raise ValueError(f"{path}: no file of weights, cut short, or it holds code; save a state dict") from error


def differences(own: Mapping[str, Tensor], weights: Mapping[str, Tensor], names: Mapping[str, str]) -> str:
    """Describe the tensors of a file that are missing, unknown or of another shape; return an empty text if none are.

    `weights` are under the names of the network, `names` has the name in the file where it is another.
    """
    common = [name for name in own if name in weights and own[name].shape != weights[name].shape]
    shapes = {name: " in place of ".join("x".join(map(str, w[name].shape)) for w in (weights, own)) for name in common}
    problems = {
        "missing": sorted(names.get(name, name) for name in own.keys() - weights.keys()),
        "unknown": sorted(names.get(name, name) for name in weights.keys() - own.keys()),
        "other shape": [f"{names.get(name, name)} ({shape})" for name, shape in shapes.items()],
    }
    return "; ".join(f"{problem}: {first_few(wrong)}" for problem, wrong in problems.items() if wrong)


def load_matching(network: nn.Module, weights: Mapping[str, Tensor], path: str) -> None:
    """Load the weights from `path` that have the names and shapes of a network's, at least one; log a report."""
    own = network.state_dict()
    matching = {name: weights[name] for name in own if name in weights and weights[name].shape == own[name].shape}
    rest = differences(own, weights, {})
    if not matching:
        raise ValueError(f"{path}: no weight matches this network ({rest}); give a file of the same network and widths")
    network.load_state_dict(matching, strict=False)
    report = f"{path}: {len(matching)} of {len(own)} weights match" + (f"; {rest}" if rest else "")
    log.log(logging.WARNING if "other shape" in rest else logging.INFO, "%s", report)
