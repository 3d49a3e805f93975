"""A trained model for Python users: load a checkpoint and predict single images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fovea.data.images.predict import decoder
from fovea.data.images.samples import resize_image, to_tensor
from fovea.engine import checkpoint as checkpoints
from fovea.runtime.config import instantiate
from fovea.runtime.files import sha256
from fovea.runtime.processes import pick, single_thread_in_worker
from fovea.supervision.outputs import labels
from fovea.supervision.tta import MeanOverFlips


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
        self.size, self.channels, self.classes = data["size"], data["channels"], data["classes"]
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


@dataclass(frozen=True)
class Foreground:
    """The probability of the foreground by a trained model; small to send to a process, which loads it once.

    Args:
        checkpoint: A run folder, whose best checkpoint is taken, or the last if there is none; or a checkpoint.
        device: As for `load`.
        axes: The prediction is the mean over flips along these axes, see `MeanOverFlips`.

    Raises:
        ValueError: as for `load`; the model has several classes.
    """

    checkpoint: str
    device: str
    axes: Sequence[int]

    def __post_init__(self) -> None:
        """Load the model, so that a wrong checkpoint is refused before the first image."""
        if (count := _loaded(self._file(), self.device, tuple(self.axes)).classes) > 1:
            raise ValueError(f"checkpoint has {count} classes; give that of a model of one structure")

    @property
    def digest(self) -> str:
        """Return the hash of the checkpoint."""
        return sha256(Path(self._file()))

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Return probabilities, float32 [H, W], for an image, uint8 [H, W, 3]."""
        model = _loaded(self._file(), self.device, tuple(self.axes))
        return model.predict(image[..., : model.channels]).probability[0]

    def _file(self) -> str:
        path = Path(self.checkpoint).expanduser()
        if path.is_dir():
            names = (path / "checkpoints" / name for name in ("best.ckpt", "last.ckpt"))
            path = next((file for file in names if file.is_file()), path / "checkpoints" / "best.ckpt")
        return str(path)


@lru_cache(maxsize=1)
def _loaded(checkpoint: str, device: str, axes: tuple[int, ...]) -> Model:
    single_thread_in_worker()
    model = load(checkpoint, device)
    model.module = MeanOverFlips(model.module, axes)
    return model
