"""Published checkpoints of GazeMedSeg and CMC, loaded from plain tensors, and how their networks were trained."""

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from fovea.models.basic_unet import BasicUNet2d
from fovea.models.cross_modality import CrossModalityNet
from fovea.models.unet3d import UNet3d
from fovea.models.weights import STATISTICS, differences, our_name, tensors_of

UNUSED = re.compile(r"model\.\d+\.head\.[02]\.(weight|bias)")
FIRST_LAYER = re.compile(r"(?:model|levels)\.\d+\.encoder\.conv_0\.conv_0\.conv\.weight")

SIZE = 224  # side of the published networks' images, in pixels
GAZEMEDSEG: dict[str, Any] = {"classes": 1, "features": [64, 128, 256, 512, 1024, 128], "groups": 4}
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

FIRST, LAST = "encoders.0.stages.0.1.conv.weight", "decoders.0.head.weight"
UNET: dict[str, Any] = {
    "_target_": "fovea.models.unet3d.UNet3d",
    "_partial_": True,
    "features": [64, 128, 256, 512],
    "norm": ["batch", {"track_running_stats": False}],
}
CMC = {"norm": UNET["norm"], "groups": 16, "shared_encoder": True, "shared_decoder": True}
# What the published networks of the abdomen were trained with: RAS, CT in a window, MRI as a z-score.
CMC_DATA: dict[str, Any] = {
    "_target_": "fovea.data.volumes.source.Volumes",
    "modalities": ["ct", "mri"],
    "channels": 1,
    "size": [128, 128, 128],
    "spacing": [1.5, 1.5, 2.0],
    "intensity": {
        "ct": {
            "_target_": "monai.transforms.ScaleIntensityRange",
            **{"a_min": -175, "a_max": 250, "b_min": 0.0, "b_max": 1.0, "clip": True},
        },
        "mri": {"_target_": "monai.transforms.NormalizeIntensity", "nonzero": True, "channel_wise": True},
    },
    "overlap": 0.5,
    "windows": 4,
}
FUSION = re.compile(r"fusion_layer\.layer([12])\.(conv1|bn1)\.(\w+)")


class ReleasedGazeMedSeg(nn.Module):
    """The levels of a published GazeMedSeg model; the output is the mean of their logits."""

    def __init__(self, levels: int, in_channels: int) -> None:
        super().__init__()
        self.levels = nn.ModuleList([BasicUNet2d(in_channels, **GAZEMEDSEG) for _ in range(levels)])

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
    with torch.device("meta"):  # draws no random weights
        network = ReleasedGazeMedSeg(*_sizes(weights))
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
    with torch.device("meta"):  # without memory: the sizes come from a file that is not checked yet
        own = ReleasedGazeMedSeg(*_sizes(weights)).state_dict()
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
        "backbone": backbone | GAZEMEDSEG,
        "loss": {"_target_": "torch.nn.BCEWithLogitsLoss"},
        "supervision": SUPERVISION | {"thresholds": [0.5] * levels},  # a prediction depends on their number only
        "data": data | PUBLISHED_DATA[channels],
    }


def _sizes(weights: Mapping[str, Tensor]) -> tuple[int, int]:
    """Return the numbers of levels and of input channels."""
    levels = sum(1 for name in weights if FIRST_LAYER.fullmatch(name))
    return levels, weights["levels.0.encoder.conv_0.conv_0.conv.weight"].shape[1]


class ReleasedCmc(nn.Module):
    """The published network of two modalities."""

    def __init__(self, in_channels: int, classes: int) -> None:
        super().__init__()
        unet = partial(UNet3d, features=UNET["features"], norm=UNET["norm"])
        self.network = CrossModalityNet(["a", "b"], in_channels, classes, unet, **CMC)

    def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits [B, K, D, H, W] of each of two volumes [B, C, D, H, W]."""
        logits = self.network({"a": a, "b": b}).logits
        return logits["a"], logits["b"]


def load_cmc(state_dict: Mapping[str, Any]) -> ReleasedCmc:
    """Build the network of a published CMC checkpoint and load its weights.

    Zhou et al., "Robust Semi-Supervised Multimodal Medical Image Segmentation via Cross Modality Collaboration", MICCAI
    2024. The numbers of channels and classes come from the tensors. The release always normalizes by batch statistics:
    the running statistics of its checkpoints are dropped, and a prediction depends on its batch. `state_dict` may also
    be a checkpoint that holds such a mapping, see `tensors_of`. A ValueError if the tensors are not those of a
    published network.
    """
    weights = cmc_weights(state_dict)
    with torch.device("meta"):
        network = ReleasedCmc(weights[FIRST].shape[1], len(weights[LAST]))
    network.to_empty(device="cpu").network.load_state_dict(weights)
    return network.eval()


def holds_cmc(content: Mapping[Any, Any]) -> bool:
    """Return whether a checkpoint holds a published CMC network, complete or not."""
    return any(name.startswith(("fusion_layer.", "MIA_module.")) for name in tensors_of(content))


def cmc_weights(state_dict: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the tensors of a published CMC checkpoint under the names of `CrossModalityNet`; see `load_cmc`."""
    published = {name: value for name, value in tensors_of(state_dict).items() if not name.endswith(STATISTICS)}
    weights = {_our_name(name): value for name, value in published.items()}
    first, last = weights.get(FIRST), weights.get(LAST)
    if first is None or last is None or first.dim() != 5 or len(last) < 2:
        raise ValueError("checkpoint: not a CMC network; give the state dict of a published model")
    with torch.device("meta"):
        own = ReleasedCmc(first.shape[1], len(last)).network.state_dict()
    if wrong := differences(own, weights, {_our_name(name): name for name in published}):
        raise ValueError(f"checkpoint: not the published CMC network ({wrong}); give an unchanged one")
    return weights


def cmc_config(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the configuration of a published CMC network of CT and MRI, as in our checkpoints.

    `weights` are those of `cmc_weights`. The group `data` has only what evaluation and prediction read.
    """
    channels, classes = weights[FIRST].shape[1], len(weights[LAST])
    if channels != 1:
        raise ValueError(f"checkpoint: a CMC network of {channels} channels; volumes have 1")
    network = {"_target_": "fovea.models.cross_modality.CrossModalityNet", "_partial_": True, "in_channels": 1}
    return {
        "backbone": network | CMC | {"modalities": CMC_DATA["modalities"], "classes": classes, "unet": UNET},
        "loss": {"_target_": "fovea.losses.segmentation.DiceCrossEntropy"},
        "supervision": {"_target_": "fovea.supervision.full.Full", "_partial_": True},
        "data": CMC_DATA | {"classes": classes},
    }


def _our_name(name: str) -> str:
    """Return the name in `CrossModalityNet` of a tensor of the published network."""
    if match := FUSION.fullmatch(name):
        layer, part, tensor = match.groups()
        return f"fusion.{int(layer) - 1}.{'conv' if part == 'conv1' else 'adn.N'}.{tensor}"
    if name == "MIA_module.gamma":
        return "awareness.gamma"
    if name.startswith("conv3d_convert."):
        return name.replace("conv3d_convert", "mix", 1)
    half, dot, rest = our_name(name).partition(".")
    return f"{half}s.0.{rest}" if dot and half in ("encoder", "decoder") else name
