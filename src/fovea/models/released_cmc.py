"""The published cross-modality network (CMC), loaded from plain tensors."""

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from fovea.models.cross_modality import CrossModalityNet
from fovea.models.pretrained import STATISTICS, our_name
from fovea.models.unet3d import UNet3d
from fovea.models.weights import differences, tensors_of

FIRST, LAST = "encoders.0.stages.0.1.conv.weight", "decoders.0.head.weight"
UNET: dict[str, Any] = {
    "_target_": "fovea.models.unet3d.UNet3d",
    "_partial_": True,
    "features": [64, 128, 256, 512],
    "norm": ["batch", {"track_running_stats": False}],
}
NETWORK = {"norm": UNET["norm"], "groups": 16, "shared_encoder": True, "shared_decoder": True}
# What the published networks of the abdomen were trained with: RAS, CT in a window, MRI as a z-score.
DATA: dict[str, Any] = {
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


class ReleasedCmc(nn.Module):
    """The published network of two modalities."""

    def __init__(self, in_channels: int, classes: int) -> None:
        super().__init__()
        unet = partial(UNet3d, features=UNET["features"], norm=UNET["norm"])
        self.network = CrossModalityNet(["a", "b"], in_channels, classes, unet, **NETWORK)

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
    network = _on_meta(weights).to_empty(device="cpu")
    network.network.load_state_dict(weights)
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
    names = {_our_name(name): name for name in published}
    if wrong := differences(_on_meta(weights).network.state_dict(), weights, names):
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
        "backbone": network | NETWORK | {"modalities": DATA["modalities"], "classes": classes, "unet": UNET},
        "loss": {"_target_": "fovea.losses.segmentation.DiceCrossEntropy"},
        "supervision": {"_target_": "fovea.supervision.full.Full", "_partial_": True},
        "data": DATA | {"classes": classes},
    }


def _on_meta(weights: Mapping[str, Tensor]) -> ReleasedCmc:
    """Build the network of the weights without memory, since their sizes come from a file that is not checked yet."""
    with torch.device("meta"):
        return ReleasedCmc(weights[FIRST].shape[1], len(weights[LAST]))


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
