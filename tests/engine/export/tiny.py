"""Checkpoints of tiny networks with weights that matter, from the shipped configuration."""

from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from torch import Tensor

from fovea.engine.build import build
from fovea.models.backbone import Backbone
from fovea.runtime.config import config_folder


class OneLayer(Backbone):
    """The smallest network, for what a mode adds to it."""

    def __init__(self, in_channels: int, classes: int) -> None:
        super().__init__()
        self.body = torch.nn.Conv2d(in_channels, 4, 3, padding=1)
        self.head = torch.nn.Conv2d(4, classes, 1)

    def features(self, image: Tensor) -> Tensor:
        features: Tensor = self.body(image).tanh()
        return features

    def classify(self, features: Tensor) -> Tensor:
        logits: Tensor = self.head(features)
        return logits


BACKBONES = {
    "one_layer": [
        "backbone=basic_unet",
        f"backbone._target_={OneLayer.__module__}.OneLayer",
        "~backbone.features",
        "~backbone.groups",
    ],
    "basic_unet": ["backbone=basic_unet", "backbone.features=[4,4,8,8,8,4]", "backbone.groups=4"],
    "smp": [
        "backbone=smp",
        "backbone.encoder_name=resnet18",
        "backbone.encoder_weights=null",
        "+backbone.encoder_depth=3",
        "+backbone.decoder_channels=[16,8,8]",
    ],
}


def config_of(*overrides: str) -> dict[str, Any]:
    """Compose a training on a folder of small images."""
    line = ["run_dir=RUN", "data=folder", "data.root=DIR", "data.size=64", "loss=dice_ce", *overrides]
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = OmegaConf.to_container(compose("train", overrides=line), resolve=True)
    assert isinstance(config, dict)
    return {str(key): value for key, value in config.items()}


def saved(path: Path, *overrides: str, backbone: str = "basic_unet") -> Path:
    """Write a checkpoint as Lightning would."""
    config = config_of(*BACKBONES[backbone], *overrides)
    torch.manual_seed(0)
    module = build(config)
    with torch.no_grad():
        for weights in module.parameters():  # probabilities that differ from 0.5
            weights += 0.1 * torch.randn_like(weights)
        for _ in range(30):  # statistics of batches that fit the weights
            module.train()(torch.randn(4, config["data"]["channels"], 64, 64), (64, 64))
    state = {f"supervision.{key}": value for key, value in module.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"state_dict": state, "fovea": {"config": config}, "DataModule": {"ids": ["a", "b", "c"]}}, path)
    return path
