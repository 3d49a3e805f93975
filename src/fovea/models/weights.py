"""Weights from checkpoints of other projects."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fovea.runtime.errors import first_few

log = logging.getLogger(__name__)


def tensors_of(content: object) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint by name, without the prefix `module.` of DataParallel.

    Checkpoints hold them beside other things (`state_dict`, `model`, `net`, …). Of all mappings at most two levels
    deep, it takes the one with the most tensors.
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
    """Return the tensors of a file, without running code from it.

    Raises:
        ValueError: the file does not exist or cannot be read.
    """
    if not Path(path).is_file():
        raise ValueError(f"{path}: no such file; give a file of weights, or null")
    try:
        return tensors_of(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # the reader raises various errors on damaged files
        raise ValueError(
            f"{path}: not a file of weights, cut short, or it holds code; save the state dict alone with torch.save"
        ) from error


def check_same(own: Mapping[str, Tensor], weights: Mapping[str, Tensor], title: str, names: Mapping[str, str]) -> None:
    """Refuse weights whose names or shapes differ from those of a published network.

    Args:
        own: The tensors of the network.
        weights: The tensors of the checkpoint, under the names of the network.
        title: The name of the network.
        names: The published name of each tensor.
    """
    problems = {
        "missing": own.keys() - weights.keys(),
        "unknown": weights.keys() - own.keys(),
        "of another shape": {name for name in own.keys() & weights.keys() if own[name].shape != weights[name].shape},
    }
    texts = [
        f"{what}: {first_few(sorted(names.get(n, n) for n in wrong))}" for what, wrong in problems.items() if wrong
    ]
    if texts:
        raise ValueError(f"checkpoint: not the published {title} network ({'; '.join(texts)}); give an unchanged one")


def load_matching(network: nn.Module, weights: Mapping[str, Tensor], path: str) -> str:
    """Load the weights that have the names and shapes of a network's, and log what did not match.

    Args:
        network: Changed in place.
        weights: Under the names of the network.
        path: The file that they come from.

    Returns:
        The report.

    Raises:
        ValueError: no weight matches.
    """
    own = network.state_dict()
    matching = {name: weights[name] for name in own if name in weights and weights[name].shape == own[name].shape}
    other = [
        f"{name} has shape {_shape(weights[name])} in the file and {_shape(own[name])} here"
        for name in own
        if name in weights and name not in matching
    ]
    if not matching:
        raise ValueError(
            f"{path}: none of its {len(weights)} weights matches this network ({first_few(other or weights, 2)}); "
            "give a file of the same network and widths"
        )
    network.load_state_dict(matching, strict=False)
    rest = {
        "other shape": other,
        "not in the file": [name for name in own if name not in weights],
        "not used": [name for name in weights if name not in own],
    }
    report = f"{path}: {len(matching)} of {len(own)} weights match"
    report += "".join(f"; {what}: {first_few(names)}" for what, names in rest.items() if names)
    log.log(logging.WARNING if other else logging.INFO, "%s", report)
    return report


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape))
