"""Weights from checkpoints of other projects."""

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from fovea.runtime.errors import first_few

log = logging.getLogger(__name__)
# The names of Models Genesis, which the published cross-modality network uses with a prefix, and ours.
DOWN = re.compile(r".*\bdown_tr(64|128|256|512)\.ops\.([01])\.(conv1|bn1)\.(\w+)")
UP = re.compile(r".*\bup_tr(256|128|64)\.ops\.([01])\.(conv1|bn1)\.(\w+)")
UP_CONV = re.compile(r".*\bup_tr(256|128|64)\.up_conv\.(\w+)")
HEAD = re.compile(r".*\bout_tr\.(?:conv\.conv|final_conv)\.(\w+)")
OURS = re.compile(r"(?:.*\.)?(encoder|decoder)(?:s\.0)?\.((?:stages|head)\..+)")
PARTS = {"conv1": "conv", "bn1": "adn.N"}
DEPTH = {"64": 0, "128": 1, "256": 2, "512": 3}
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")  # a network by batch statistics has none


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


def our_name(name: str) -> str:
    """Return the name of a published tensor in `UNet3d`, `encoder.…` or `decoder.…`; an unknown name unchanged."""
    if match := DOWN.fullmatch(name):
        depth, number, part, tensor = match.groups()
        return f"encoder.stages.{DEPTH[depth]}.{int(number) + 1}.{PARTS[part]}.{tensor}"
    if match := UP.fullmatch(name):
        depth, number, part, tensor = match.groups()
        return f"decoder.stages.{2 - DEPTH[depth]}.body.{number}.{PARTS[part]}.{tensor}"
    if match := UP_CONV.fullmatch(name):
        return f"decoder.stages.{2 - DEPTH[match[1]]}.up.{match[2]}"
    if match := HEAD.fullmatch(name):
        return f"decoder.head.{match[1]}"
    if match := OURS.fullmatch(name):
        return f"{match[1]}.{match[2]}"
    return name


def load_halves(network: nn.Module, path: str) -> None:
    """Load the weights of `encoder` and `decoder` from a file, as far as names and shapes match; log a report.

    The file may be of Models Genesis, a published cross-modality network, or a checkpoint of `fovea-train`. A
    ValueError if it cannot be read, or no weight matches.
    """
    own, weights = network.state_dict(), {our_name(name): value for name, value in read_tensors(path).items()}
    known = {name: value for name, value in weights.items() if name in own or not name.endswith(STATISTICS)}
    load_matching(network, known, path)
