"""Pretrained weights of the encoder and decoder of a 3-D U-Net."""

import re

from torch import nn

from fovea.models.weights import load_matching, read_tensors

# The names of Models Genesis, which the published cross-modality network uses with a prefix, and ours.
DOWN = re.compile(r".*\bdown_tr(64|128|256|512)\.ops\.([01])\.(conv1|bn1)\.(\w+)")
UP = re.compile(r".*\bup_tr(256|128|64)\.ops\.([01])\.(conv1|bn1)\.(\w+)")
UP_CONV = re.compile(r".*\bup_tr(256|128|64)\.up_conv\.(\w+)")
HEAD = re.compile(r".*\bout_tr\.(?:conv\.conv|final_conv)\.(\w+)")
OURS = re.compile(r"(?:.*\.)?(encoder|decoder)(?:s\.0)?\.((?:stages|head)\..+)")
PARTS = {"conv1": "conv", "bn1": "adn.N"}
DEPTH = {"64": 0, "128": 1, "256": 2, "512": 3}
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")  # a network by batch statistics has none


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
