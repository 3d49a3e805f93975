"""A trained model for Python users: load a checkpoint and predict single images."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fovea.data.images.predict import decoder
from fovea.data.images.samples import resize_image, to_tensor
from fovea.engine import checkpoint as checkpoints
from fovea.runtime.config import instantiate
from fovea.runtime.processes import pick
from fovea.supervision.outputs import labels


@dataclass(frozen=True)
class Prediction:
    """The prediction for one image at its native size.

    Attributes:
        probability: float32 [K, H, W]; one class is a sigmoid, several are a softmax with class 0 the background.
        mask: uint8 [H, W], 0 is background.
        levels: float32 [K, H, W] of each level by name, if the model has levels.
    """

    probability: np.ndarray
    mask: np.ndarray
    levels: Mapping[str, np.ndarray]


class Model:
    """A trained supervision module with the way that its images are read; see `load`."""

    def __init__(self, module: nn.Module, data: Mapping[str, Any], device: torch.device) -> None:
        self.module, self.device = module, device
        self.size, self.channels = data["size"], data["channels"]
        self._normalize = instantiate(data["normalize"])
        self._decode = decoder(data)

    @torch.inference_mode()
    def predict(self, image: np.ndarray | Tensor | str | Path) -> Prediction:
        """Predict one image of any size.

        Args:
            image: uint8 [H, W, C] or, for one channel, [H, W]; an array, a tensor, or the path of a file.

        Raises:
            ValueError: The image has another type or number of channels, or the file cannot be read.
        """
        pixels = self._pixels(image)
        tensor = to_tensor(resize_image(pixels, self.size), self._normalize)[None].to(self.device)
        outputs = self.module(tensor, pixels.shape[:2])
        maps = {name: value[0].float().cpu().numpy() for name, value in outputs.items()}
        mask = labels(outputs["prediction"])[0].cpu().numpy().astype(np.uint8)
        return Prediction(maps.pop("prediction"), mask, maps)

    def _pixels(self, image: np.ndarray | Tensor | str | Path) -> np.ndarray:
        if isinstance(image, str | Path):
            return self._decode(Path(image).expanduser())
        array = image.cpu().numpy() if isinstance(image, Tensor) else np.asarray(image)
        array = array[..., None] if array.ndim == 2 else array
        if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != self.channels:
            raise ValueError(f"image must be uint8 [H, W, {self.channels}], got {array.dtype} {list(array.shape)}")
        return array


def load(checkpoint: str | Path, device: str = "cpu") -> Model:
    """Load a checkpoint of `fovea-train`, or a published one of GazeMedSeg, that was trained on images.

    Args:
        checkpoint: The file.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, …

    Raises:
        ValueError: The file is missing or is not such a checkpoint, or the model reads volumes.
    """
    path, where = Path(checkpoint).expanduser(), pick(device)
    module, config = checkpoints.load(path, where)
    if "modalities" in config["data"]:
        raise ValueError(f"checkpoint: {path} reads volumes; use fovea-predict for it")
    return Model(module, config["data"], where)
