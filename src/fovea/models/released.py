"""Published GazeMedSeg checkpoints, loaded from plain tensors."""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fovea.models.basic_unet import BasicUNet2d
from fovea.models.released_cmc import load_cmc as load_cmc
from fovea.models.weights import differences, tensors_of

UNUSED = re.compile(r"model\.\d+\.head\.[02]\.(weight|bias)")
FIRST_LAYER = re.compile(r"(?:model|levels)\.\d+\.encoder\.conv_0\.conv_0\.conv\.weight")

SIZE = 224  # side of the published networks' images, in pixels
NETWORK: dict[str, Any] = {"classes": 1, "features": [64, 128, 256, 512, 1024, 128], "groups": 4}
NORMALIZE = {"_target_": "albumentations.Normalize"}
# How images are read and normalized, by their number of channels.
PUBLISHED_DATA: dict[int, dict[str, Any]] = {
    3: {"dataset": {"_target_": "fovea.data.images.kvasir.Kvasir"}, "normalize": NORMALIZE},
    1: {
        "dataset": {"_target_": "fovea.data.images.nci_isbi.NciIsbi"},
        "normalize": NORMALIZE | {"normalization": "image"},
    },
}
SUPERVISION: dict[str, Any] = {"_target_": "fovea.supervision.multi_level.MultiLevel", "_partial_": True}
SUPERVISION |= {"consistency": "prop", "weight": 3.0, "init": "copied", "ensemble": "logits", "window": 100}
SUPERVISION |= {"kernel_size": 5, "dilation": 2, "similarity": "dot"}


class ReleasedGazeMedSeg(nn.Module):
    """The levels of a published GazeMedSeg model; the output is the mean of their logits."""

    def __init__(self, levels: int, in_channels: int) -> None:
        super().__init__()
        self.levels = nn.ModuleList([BasicUNet2d(in_channels, **NETWORK) for _ in range(levels)])

    def forward(self, x: Tensor) -> Tensor:
        """Return the mean logits [B, 1, H, W] of an image [B, in_channels, H, W]."""
        return torch.stack([level(x) for level in self.levels]).mean(dim=0)


def load_gazemedseg(state_dict: Mapping[str, Any]) -> ReleasedGazeMedSeg:
    """Build the network of a published GazeMedSeg checkpoint and load its weights.

    Zhong et al., "Weakly-supervised Medical Image Segmentation with Gaze Annotations", MICCAI 2024. The numbers of
    levels and input channels come from the tensors. The two-layer `head`, which the release never calls, is dropped.
    `state_dict` may also be a checkpoint that holds such a mapping, see `tensors_of`. The network is in evaluation
    mode; its `levels` hold a `BasicUNet2d` each. A ValueError if the tensors are not those of a published network.
    """
    weights = gazemedseg_weights(state_dict)
    network = _on_meta(weights)
    network.to_empty(device="cpu").load_state_dict(weights)
    return network.eval()


def holds_gazemedseg(content: Mapping[Any, Any]) -> bool:
    """Return whether a checkpoint holds a published GazeMedSeg network, complete or not."""
    return any(name.startswith("model.") and FIRST_LAYER.fullmatch(name) for name in tensors_of(content))


def gazemedseg_weights(state_dict: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the tensors of a published GazeMedSeg checkpoint under our names, `levels.0.…`; see `load_gazemedseg`."""
    published = {name: value for name, value in tensors_of(state_dict).items() if not UNUSED.fullmatch(name)}
    first = published.get("model.0.encoder.conv_0.conv_0.conv.weight")
    if first is None or first.dim() != 4:
        raise ValueError("checkpoint: not a GazeMedSeg network; give the state dict of a published model")
    weights = {name.replace("model.", "levels.", 1): value for name, value in published.items()}
    own = _on_meta(weights).state_dict()
    if wrong := differences(own, weights, {name: name.replace("levels.", "model.", 1) for name in own | weights}):
        raise ValueError(f"checkpoint: not the published GazeMedSeg network ({wrong}); give an unchanged one")
    return weights


def gazemedseg_config(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the configuration that a published GazeMedSeg network was trained with, as in our checkpoints.

    Its images have 224 pixels a side. Images of 3 channels are normalized as those of ImageNet (Kvasir-SEG). Images of
    1 channel are DICOM slices, normalized by their own mean and standard deviation (NCI-ISBI 2013).
    `weights` are those of `gazemedseg_weights`. The group `data` has only what evaluation and prediction read.
    """
    levels, channels = _sizes(weights)
    if channels not in PUBLISHED_DATA:
        raise ValueError(f"checkpoint: a GazeMedSeg network of {channels} channels; the published ones have 3 or 1")
    backbone = {"_target_": "fovea.models.basic_unet.BasicUNet2d", "_partial_": True, "in_channels": channels}
    data = {"_target_": "fovea.data.images.source.Images", "channels": channels, "classes": 1, "size": SIZE}
    return {
        "backbone": backbone | NETWORK,
        "loss": {"_target_": "torch.nn.BCEWithLogitsLoss"},
        "supervision": SUPERVISION | {"thresholds": [0.5] * levels},  # a prediction depends on their number only
        "data": data | PUBLISHED_DATA[channels],
    }


def _on_meta(weights: Mapping[str, Tensor]) -> ReleasedGazeMedSeg:
    """Build the network of the weights without memory, since their sizes come from a file that is not checked yet."""
    with torch.device("meta"):
        return ReleasedGazeMedSeg(*_sizes(weights))


def _sizes(weights: Mapping[str, Tensor]) -> tuple[int, int]:
    """Return the numbers of levels and of input channels."""
    levels = sum(1 for name in weights if FIRST_LAYER.fullmatch(name))
    return levels, weights["levels.0.encoder.conv_0.conv_0.conv.weight"].shape[1]
