"""Published checkpoints, loaded from plain tensors into networks of ours."""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fovea.models.basic_unet import BasicUNet2d
from fovea.runtime.errors import FoveaError, first_few

UNUSED = re.compile(r"model\.\d+\.head\.[02]\.(weight|bias)")
FIRST_LAYER = re.compile(r"model\.(\d+)\.encoder\.conv_0\.conv_0\.conv\.weight")


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
        state_dict: Tensors by name, or a mapping that holds them under `state_dict` or `model`; the prefix `module.`
            of DataParallel is taken off.

    Returns:
        The network in evaluation mode; `levels` holds one `BasicUNet2d` for each.

    Raises:
        FoveaError: names are missing or unknown, or shapes differ from the published ones.
    """
    given = {name: value for name, value in _tensors(state_dict).items() if not UNUSED.fullmatch(name)}
    levels = sum(1 for name in given if FIRST_LAYER.fullmatch(name))
    first = given.get("model.0.encoder.conv_0.conv_0.conv.weight")
    if first is None or first.dim() != 4:
        raise FoveaError(
            "checkpoint: no GazeMedSeg network in it (model.0.encoder.conv_0.conv_0.conv.weight is not there); "
            "give the state dict of a published model"
        )
    with torch.device("meta"):  # the file says how much to build: take no memory before it has been compared
        network = ReleasedGazeMedSeg(levels, in_channels=first.shape[1])
    weights = {name.replace("model.", "levels.", 1): value for name, value in given.items()}
    _compare(network.state_dict(), weights)
    network.to_empty(device="cpu").load_state_dict(weights)
    return network.eval()


def _tensors(state_dict: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors by name, without what training code wraps around them."""
    for key in ("state_dict", "model"):
        if isinstance(state_dict.get(key), Mapping):
            state_dict = state_dict[key]
    strangers = [name for name, value in state_dict.items() if not isinstance(value, Tensor)]
    if strangers:
        raise FoveaError(f"checkpoint: {first_few(strangers)} hold no tensor; give the state dict of a published model")
    return {name.removeprefix("module."): value for name, value in state_dict.items()}


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
        raise FoveaError(
            f"checkpoint: not the published GazeMedSeg network ({'; '.join(found)}); give an unchanged one"
        )
