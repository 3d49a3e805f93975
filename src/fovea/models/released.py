"""Published checkpoints, loaded from plain tensors into networks of ours."""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fovea.models.basic_unet import BasicUNet2d
from fovea.models.released_cmc import load_cmc as load_cmc  # the published networks are all had from here
from fovea.runtime.errors import first_few

UNUSED = re.compile(r"model\.\d+\.head\.[02]\.(weight|bias)")
FIRST_LAYER = re.compile(r"model\.(\d+)\.encoder\.conv_0\.conv_0\.conv\.weight")

SIZE = 224  # side of the published networks' images, in pixels
# How images are read and normalised, by their number of channels.
PUBLISHED_DATA: dict[int, dict[str, Any]] = {
    3: {
        "dataset": {"_target_": "fovea.data.images.kvasir.Kvasir"},
        "normalize": {"_target_": "albumentations.Normalize"},
    },
    1: {
        "dataset": {"_target_": "fovea.data.images.nci_isbi.NciIsbi"},
        "normalize": {"_target_": "albumentations.Normalize", "normalization": "image"},
    },
}


class ReleasedGazeMedSeg(nn.Module):
    """The levels of a published GazeMedSeg model, read as their mean logit.

    Args:
        levels: Number of networks.
        in_channels: Channels of the image.
    """

    def __init__(self, levels: int, in_channels: int) -> None:
        super().__init__()
        self.levels = nn.ModuleList([BasicUNet2d(in_channels, classes=1) for _ in range(levels)])

    def forward(self, x: Tensor) -> Tensor:
        """Mean logits [B, 1, H, W] of an image [B, in_channels, H, W]."""
        return torch.stack([level(x) for level in self.levels]).mean(dim=0)


def load_gazemedseg(state_dict: Mapping[str, Any]) -> ReleasedGazeMedSeg:
    """Build the network of a published GazeMedSeg checkpoint and give it those weights.

    Zhong et al., "Weakly-supervised Medical Image Segmentation with Gaze Annotations", MICCAI 2024. The number of
    levels and of input channels is read from the tensors; the two-layer `head` that the release never calls is dropped.

    Args:
        state_dict: Tensors by name, or a mapping that holds such a mapping beside other things (`state_dict`,
            `model`, …); the prefix `module.` of DataParallel is taken off.

    Returns:
        The network in evaluation mode; `levels` holds one `BasicUNet2d` for each.

    Raises:
        ValueError: names are missing or unknown, or shapes differ from the published ones.
    """
    weights = gazemedseg_weights(state_dict)
    network = _gazemedseg(weights)
    network.to_empty(device="cpu").load_state_dict(weights)
    return network.eval()


def holds_gazemedseg(content: Mapping[Any, Any]) -> bool:
    """Whether the content of a file holds a published GazeMedSeg network, whole or in part, wrapped or not."""
    return any(FIRST_LAYER.fullmatch(_bare(name)) for name in _innermost(content))


def gazemedseg_weights(state_dict: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of a published GazeMedSeg checkpoint under our names, `levels.0.…`; see `load_gazemedseg`."""
    given = {name: value for name, value in _tensors(state_dict).items() if not UNUSED.fullmatch(name)}
    first = given.get("model.0.encoder.conv_0.conv_0.conv.weight")
    if first is None or first.dim() != 4:
        raise ValueError(
            "checkpoint: no GazeMedSeg network in it (model.0.encoder.conv_0.conv_0.conv.weight is not there); "
            "give the state dict of a published model"
        )
    weights = {name.replace("model.", "levels.", 1): value for name, value in given.items()}
    _compare(_gazemedseg(weights).state_dict(), weights)
    return weights


def gazemedseg_config(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """What a published GazeMedSeg network was trained with, as one of our checkpoints would carry it.

    Its images are 224 pixels a side; those of 3 channels are normalised as ImageNet's (Kvasir-SEG), those of 1 are
    DICOM slices that get a z-score each (NCI-ISBI 2013).

    Args:
        weights: Of `gazemedseg_weights`.

    Returns:
        The groups `backbone`, `loss`, `supervision` and `data`, of the last what evaluation and prediction read.

    Raises:
        ValueError: the network takes another number of channels.
    """
    levels, channels = _shape(weights)
    if channels not in PUBLISHED_DATA:
        raise ValueError(f"checkpoint: a GazeMedSeg network of {channels} channels; the published ones take 3 or 1")
    backbone = {"_target_": "fovea.models.basic_unet.BasicUNet2d", "in_channels": channels, "classes": 1}
    # The thresholds matter in training alone; here they say how many levels there are.
    supervision = {"_target_": "fovea.supervision.multi_level.Gaze", "thresholds": [0.5] * levels}
    return {
        "backbone": backbone | {"_partial_": True},
        "loss": {"_target_": "torch.nn.BCEWithLogitsLoss"},
        "supervision": supervision | {"_partial_": True},
        "data": {"_target_": "fovea.data.images.source.Images", "channels": channels, "classes": 1, "size": SIZE}
        | PUBLISHED_DATA[channels],
    }


def _gazemedseg(weights: Mapping[str, Tensor]) -> ReleasedGazeMedSeg:
    """The network that weights are of, without memory: the file says how much to build, and has not been compared."""
    with torch.device("meta"):
        return ReleasedGazeMedSeg(*_shape(weights))


def _shape(weights: Mapping[str, Tensor]) -> tuple[int, int]:
    """Numbers of levels and of input channels."""
    first = [value for name, value in weights.items() if FIRST_LAYER.fullmatch(name.replace("levels.", "model.", 1))]
    return len(first), weights["levels.0.encoder.conv_0.conv_0.conv.weight"].shape[1]


def _innermost(content: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """What holds the network: the content, a mapping in it or one in that; without a network, the content."""
    inside = [content]
    for _ in range(2):
        inside += [value for each in inside for value in each.values() if isinstance(value, Mapping)]
    return next((each for each in inside if any(FIRST_LAYER.fullmatch(_bare(name)) for name in each)), content)


def _bare(name: object) -> str:
    """A name without the prefix of DataParallel."""
    return str(name).removeprefix("module.")


def _tensors(state_dict: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors by name, without what training code wraps around them."""
    found = _innermost(state_dict)
    strangers = [name for name, value in found.items() if not isinstance(value, Tensor)]
    if strangers:
        raise ValueError(f"checkpoint: {first_few(strangers)} hold no tensor; give the state dict of a published model")
    return {_bare(name): value for name, value in found.items()}


def _compare(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> None:
    """Refuse weights that are not the network's, naming the first few."""
    problems = {
        "missing": own.keys() - given.keys(),
        "unknown": given.keys() - own.keys(),
        "of another shape": {name for name in own.keys() & given.keys() if own[name].shape != given[name].shape},
    }
    found = [
        f"{what}: {first_few(sorted(name.replace('levels.', 'model.', 1) for name in names))}"
        for what, names in problems.items()
        if names
    ]
    if found:
        raise ValueError(
            f"checkpoint: not the published GazeMedSeg network ({'; '.join(found)}); give an unchanged one"
        )
