"""The published cross-modality network, loaded from plain tensors into ours."""

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from fovea.models.cross_modality import CrossModalityNet
from fovea.models.pretrained import STATISTICS, our_name
from fovea.models.unet3d import UNet3d
from fovea.runtime.errors import first_few

FIRST, LAST = "encoders.0.stages.0.1.conv.weight", "decoders.0.head.weight"
NORM = ("batch", {"track_running_stats": False})
FUSION = re.compile(r"fusion_layer\.layer([12])\.(conv1|bn1)\.(\w+)")


class ReleasedCmc(nn.Module):
    """The published network of two modalities.

    Args:
        in_channels: Channels of a volume.
        classes: Channels of the logits.
    """

    def __init__(self, in_channels: int, classes: int) -> None:
        super().__init__()
        unet = partial(UNet3d, norm=NORM)
        self.network = CrossModalityNet(["a", "b"], in_channels, classes, unet, norm=NORM)

    def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [B, K, D, H, W] of each of two volumes [B, C, D, H, W]."""
        logits = self.network({"a": a, "b": b}).logits
        return logits["a"], logits["b"]


def load_cmc(state_dict: Mapping[str, Any]) -> ReleasedCmc:
    """Build the network of a published CMC checkpoint and give it those weights.

    Zhou et al., "Robust Semi-Supervised Multimodal Medical Image Segmentation via Cross Modality Collaboration", MICCAI
    2024. Numbers of channels and classes are read from the tensors. The release normalises by batch statistics always:
    the running ones of its checkpoints are dropped, and a prediction depends on its batch.

    Args:
        state_dict: Tensors by name, or a mapping that holds such a mapping under `state_dict`, `model` or `net`; the
            prefix `module.` of DataParallel is taken off.

    Returns:
        The network in evaluation mode.

    Raises:
        ValueError: names are missing or unknown, or shapes differ from the published ones.
    """
    published = _tensors(state_dict)
    weights = {_our_name(name): value for name, value in published.items() if not name.endswith(STATISTICS)}
    names = {_our_name(name): name for name in published}
    first, last = weights.get(FIRST), weights.get(LAST)
    if first is None or last is None or first.dim() != 5 or len(last) < 2:
        raise ValueError(
            "checkpoint: no CMC network in it (image_encoder.down_tr64.ops.0.conv1.weight or "
            "decoder.out_tr.conv.conv.weight is not there); give the state dict of a published model"
        )
    with torch.device("meta"):  # the tensors say how much to build, and have not been compared
        network = ReleasedCmc(first.shape[1], len(last))
    own = network.network.state_dict()
    problems = {
        "missing": own.keys() - weights.keys(),
        "unknown": weights.keys() - own.keys(),
        "of another shape": {name for name in own.keys() & weights.keys() if own[name].shape != weights[name].shape},
    }
    found = [
        f"{what}: {first_few(sorted(names.get(n, n) for n in wrong))}" for what, wrong in problems.items() if wrong
    ]
    if found:
        raise ValueError(f"checkpoint: not the published CMC network ({'; '.join(found)}); give an unchanged one")
    network.to_empty(device="cpu").network.load_state_dict(weights)
    return network.eval()


def _tensors(state_dict: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors by name, without what training code wraps around them."""
    inner = next((state_dict[key] for key in ("state_dict", "model", "net") if key in state_dict), state_dict)
    strangers = [name for name, value in inner.items() if not isinstance(value, Tensor)]
    if strangers:
        raise ValueError(f"checkpoint: {first_few(strangers)} hold no tensor; give the state dict of a published model")
    return {str(name).removeprefix("module."): value for name, value in inner.items()}


def _our_name(name: str) -> str:
    """What `CrossModalityNet` calls a tensor of the published network."""
    if found := FUSION.fullmatch(name):
        layer, part, kind = found.groups()
        return f"fusion.{int(layer) - 1}.{'conv' if part == 'conv1' else 'adn.N'}.{kind}"
    if name == "MIA_module.gamma":
        return "awareness.gamma"
    if name.startswith("conv3d_convert."):
        return name.replace("conv3d_convert", "mix", 1)
    half, dot, rest = our_name(name).partition(".")
    return f"{half}s.0.{rest}" if dot and half in ("encoder", "decoder") else name
