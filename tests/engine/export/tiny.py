"""Checkpoints of tiny networks with weights that matter."""

import copy
from pathlib import Path
from typing import Any

import torch

from fovea.engine.build import build

DATA = {
    "_target_": "fovea.data.images.source.Images",
    "name": "tiny",
    "dataset": {"_target_": "fovea.data.images.folder.Folder"},
    "normalize": {"_target_": "albumentations.Normalize"},
    "size": 64,
    "channels": 3,
    "classes": 1,
}
BACKBONES: dict[str, dict[str, Any]] = {
    "basic_unet": {
        "_target_": "fovea.models.basic_unet.BasicUNet2d",
        "_partial_": True,
        "features": [4, 4, 8, 8, 8, 4],
        "groups": 4,
    },
    "smp": {
        "_target_": "fovea.models.smp.SmpBackbone",
        "_partial_": True,
        "network": {"_target_": "segmentation_models_pytorch.Unet", "_partial_": True},
        "encoder_name": "resnet18",
        "encoder_weights": None,
        "encoder_depth": 3,
        "decoder_channels": [16, 8, 8],
    },
}
MULTI_LEVEL = {
    "_target_": "fovea.supervision.multi_level.MultiLevel",
    "thresholds": [0.5, 0.3],
    "consistency": "prop",
    "weight": 3.0,
    "init": "independent",
    "ensemble": "logits",
    "window": 100,
    "kernel_size": 5,
    "dilation": 2,
    "similarity": "dot",
}
MODES: dict[str, dict[str, Any]] = {
    "full": {"_target_": "fovea.supervision.full.Full"},
    "band": {"_target_": "fovea.supervision.band.Band", "thresholds": [0.5, 0.3]},
    "multi_level": MULTI_LEVEL,
    "multi_level of probabilities": MULTI_LEVEL | {"ensemble": "probabilities"},
    "multi_level by quality": MULTI_LEVEL | {"ensemble": "quality"},
    "pseudo": MULTI_LEVEL | {"thresholds": [0.5], "consistency": "none"},
    "mean_teacher": {
        "_target_": "fovea.supervision.mean_teacher.MeanTeacher",
        "weight": 1.0,
        "decay": 0.9,
        "noise": 0.1,
    },
    "cross_pseudo": {"_target_": "fovea.supervision.cross_pseudo.CrossPseudo", "weight": 1.0},
}


def saved(path: Path, backbone: str = "basic_unet", mode: str = "full", **data: Any) -> Path:
    """Write a checkpoint as Lightning would."""
    config: dict[str, Any] = {
        "backbone": copy.deepcopy(BACKBONES[backbone]),
        "loss": {"_target_": "fovea.losses.segmentation.DiceCrossEntropy"},
        "supervision": MODES[mode] | {"_partial_": True},
        "data": DATA | data,
    }
    config["backbone"] |= {"in_channels": config["data"]["channels"], "classes": config["data"]["classes"]}
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
