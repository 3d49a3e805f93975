"""Pretrained weights of an encoder and a decoder, as far as a file has them."""

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fovea.runtime.errors import first_few

log = logging.getLogger(__name__)
# Published names of Models Genesis, which the cross-modality network took over with a prefix, and what we call them.
DOWN = re.compile(r".*\bdown_tr(64|128|256|512)\.ops\.([01])\.(conv1|bn1)\.(\w+)")
UP = re.compile(r".*\bup_tr(256|128|64)\.ops\.([01])\.(conv1|bn1)\.(\w+)")
UP_CONV = re.compile(r".*\bup_tr(256|128|64)\.up_conv\.(\w+)")
HEAD = re.compile(r".*\bout_tr\.(?:conv\.conv|final_conv)\.(\w+)")
OURS = re.compile(r"(?:.*\.)?(encoder|decoder)(?:s\.0)?\.((?:stages|head)\..+)")
PARTS = {"conv1": "conv", "bn1": "adn.N"}
DEPTH = {"64": 0, "128": 1, "256": 2, "512": 3}
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")  # a network by batch statistics has none


def our_name(name: str) -> str:
    """What `UNet3d` calls a tensor of a file, `encoder.…` or `decoder.…`; other names as they are."""
    if found := DOWN.fullmatch(name):
        depth, number, part, kind = found.groups()
        return f"encoder.stages.{DEPTH[depth]}.{int(number) + 1}.{PARTS[part]}.{kind}"
    if found := UP.fullmatch(name):
        depth, number, part, kind = found.groups()
        return f"decoder.stages.{2 - DEPTH[depth]}.body.{number}.{PARTS[part]}.{kind}"
    if found := UP_CONV.fullmatch(name):
        return f"decoder.stages.{2 - DEPTH[found[1]]}.up.{found[2]}"
    if found := HEAD.fullmatch(name):
        return f"decoder.head.{found[1]}"
    if found := OURS.fullmatch(name):
        return f"{found[1]}.{found[2]}"
    return name


def load_halves(network: nn.Module, path: str) -> str:
    """Give an encoder and a decoder the weights that a file has of their names and shapes.

    The file may be of Models Genesis, a published cross-modality network, or a checkpoint of `fovea-train`; it may hold
    the weights beside other things. The report is logged: how many matched, and by name what did not.

    Args:
        network: Has `encoder` and `decoder`, with the names of `fovea.models.unet3d`.
        path: The file, read without running code from it.

    Returns:
        The report.

    Raises:
        ValueError: no such file, no weights in it, or none that match.
    """
    given = {our_name(name): value for name, value in _tensors(path).items()}
    own = network.state_dict()
    matched = {name: given[name] for name, value in own.items() if name in given and given[name].shape == value.shape}
    misfits = [
        f"{name} is {_shape(given[name])} there and {_shape(value)} here"
        for name, value in own.items()
        if name in given and name not in matched
    ]
    if not matched:
        raise ValueError(
            f"backbone.unet.pretrained={path}: none of its {len(given)} weights is one of this network "
            f"({first_few(misfits or given, 2)}); give a file of the same network and widths"
        )
    network.load_state_dict(matched, strict=False)
    unused = [name for name in given if name not in own and not name.endswith(STATISTICS)]
    rest = {
        "of another shape": misfits,
        "not in the file": [name for name in own if name not in given],
        "not of the encoder or the decoder": unused,
    }
    report = f"{path}: {len(matched)} of the {len(own)} weights of encoder and decoder matched"
    report += "".join(f"; {what}: {first_few(names)}" for what, names in rest.items() if names)
    log.log(logging.WARNING if misfits else logging.INFO, "%s", report)
    return report


def _tensors(path: str) -> dict[str, Tensor]:
    """The weights of a file, wherever in it they stand: the mapping that has most tensors."""
    if not Path(path).is_file():
        raise ValueError(f"backbone.unet.pretrained={path}: no such file; give a file of weights, or null")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the reader raises whatever a damaged file leads it into
        raise ValueError(
            f"backbone.unet.pretrained={path} is no file of weights, is cut short, or holds code; save the state dict "
            "alone with torch.save"
        ) from error
    inside: list[Mapping[Any, Any]] = [content] if isinstance(content, Mapping) else []
    inside += [value for each in list(inside) for value in each.values() if isinstance(value, Mapping)]
    found = [{str(key): value for key, value in each.items() if isinstance(value, Tensor)} for each in inside]
    return max(found, key=len, default={})


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape))
