"""A trained model for Python users: load a checkpoint or an exported file, and predict images or volumes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from fovea.data.images.find import decoder
from fovea.data.images.predict import FromPixels, Pixels
from fovea.data.volumes.grid import Header
from fovea.data.volumes.nifti import read_header, read_volume
from fovea.engine import checkpoint as checkpoints
from fovea.engine.export.read import SUFFIXES, read_exported
from fovea.runtime.device import pick, single_thread_in_worker
from fovea.runtime.files import sha256
from fovea.runtime.record import checkpoint_files, digest_of_weights
from fovea.supervision.largest import largest_if_asked
from fovea.supervision.outputs import as_arrays
from fovea.supervision.tta import Axes, MeanOverFlips


@dataclass(frozen=True)
class Prediction:
    """The prediction for one image or volume at its native size."""

    probability: np.ndarray  # float32 [K, *size]; one class is a sigmoid, several a softmax, class 0 the background
    mask: np.ndarray  # uint8 [*size], 0 is background
    levels: Mapping[str, np.ndarray]  # float32 [K, *size] of each level by name, if any; an exported file has none


class ImageInput:
    """Images as arrays, tensors or files, read as in the training."""

    def __init__(self, network: Pixels, data: Mapping[str, Any]) -> None:
        self.network, self.channels, self.decode = largest_if_asked(network, data), data["channels"], decoder(data)

    def __call__(self, image: Any, spacing: Any) -> Mapping[str, Tensor]:
        """Return probabilities [1, K, H, W] by name."""
        if spacing is not None:
            raise ValueError("spacing is for models of volumes, this one reads images; leave it out")
        if isinstance(image, str | Path):
            return self.network(self.decode(Path(image).expanduser()))
        array = image.cpu().numpy() if isinstance(image, Tensor) else np.asarray(image)
        array = array[..., None] if array.ndim == 2 else array
        if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != self.channels or not array.size:
            raise ValueError(f"image must be uint8 [H, W, {self.channels}], got {array.dtype} {list(array.shape)}")
        return self.network(array)


class VolumeInput:
    """Volumes by modality as arrays or files, read as in the training and predicted window by window."""

    def __init__(self, module: nn.Module, data: Mapping[str, Any], device: torch.device) -> None:
        from fovea.data.volumes.windows import native  # imports MONAI

        self.modalities, self.native = data["modalities"], native(data, module, device)

    @torch.inference_mode()
    def __call__(self, image: Any, spacing: Any) -> Mapping[str, Tensor]:
        """Return probabilities [1, K, D, H, W] by name, in RAS."""
        if not isinstance(image, Mapping) and len(self.modalities) == 1:
            image = {self.modalities[0]: image}
        names = ", ".join(self.modalities)
        if not isinstance(image, Mapping) or not image or {*image} - {*self.modalities}:
            got = ", ".join(map(str, image)) if isinstance(image, Mapping) else type(image).__name__
            raise ValueError(f"image must be a mapping of volumes by modality ({names}), got {got or 'no volume'}")
        sides = spacing if isinstance(spacing, Mapping) else {} if spacing is None else dict.fromkeys(image, spacing)
        if other := [name for name in sides if isinstance(image.get(name), str | Path | None)]:
            raise ValueError(f"spacing is for arrays of {names}, and a file has its own; leave out that of {other[0]}")
        volumes = {name: self._volume(name, volume, sides.get(name)) for name, volume in image.items()}
        prepared = {name: self.native.prepared(*volume, name) for name, volume in volumes.items()}
        return self.native(prepared, next(iter(volumes.values()))[1])

    def _volume(self, name: str, volume: Any, spacing: Any) -> tuple[np.ndarray, Header]:
        """Return the voxels of a file or an array, float32 [D, H, W] in RAS, and their grid."""
        if isinstance(volume, str | Path):
            path = Path(volume).expanduser()
            return read_volume(path), read_header(path)
        voxels = np.asarray(volume.cpu() if isinstance(volume, Tensor) else volume)
        if voxels.ndim != 3 or voxels.dtype.kind not in "iufb" or 0 in voxels.shape:
            raise ValueError(f"image: {name} must be numbers [D, H, W], got {voxels.dtype} {list(voxels.shape)}")
        with np.errstate(over="ignore"):
            single = voxels.astype(np.float32)
        if not np.isfinite(single).all():
            raise ValueError(f"image: {name} must be finite numbers in float32; rescale or replace its values")
        if spacing is None and (self.native.slices or any(side is not None for side in self.native.spacing or ())):
            raise ValueError(f"spacing: give the sides of a voxel of {name} in mm, which this model needs")
        sides = np.asarray((1.0, 1.0, 1.0) if spacing is None else spacing, np.float64)
        if sides.shape != (3,) or not (sides > 0).all() or not np.isfinite(sides).all():
            raise ValueError(f"spacing must be three sides in mm above 0, got {spacing}")
        depth, height, width = voxels.shape
        grid = Header(Path(name), (depth, height, width), (sides[0], sides[1], sides[2]), np.diag([*sides, 1.0]))
        return single, grid


class Model:
    """A trained model; see `load`. `classes` are the channels K of its output; one of images has no `modalities`.

    `trained_on` are the ids of the images that it was trained on, as far as its file names them. `reading` is how the
    files of these images were read.
    """

    def __init__(
        self, outputs: ImageInput | VolumeInput, data: Mapping[str, Any], trained_on: Sequence[str] = ()
    ) -> None:
        self._outputs, self.trained_on = outputs, trained_on
        self.channels: int = data["channels"]
        self.classes: int = data["classes"]
        self.modalities: Sequence[str] = data.get("modalities") or ()
        self.reading = {"range": list(data.get("range") or ()) or None, "exif": data.get("exif") or "ignore"}

    @overload
    def predict(self, image: list[Any], spacing: Any = None) -> list[Prediction]: ...
    @overload
    def predict(self, image: Any, spacing: Any = None) -> Prediction: ...
    def predict(self, image: Any, spacing: Any = None) -> Prediction | list[Prediction]:
        """Predict an image of any size, or a volume, in RAS; or each one of a list.

        Args:
            image: Of a model of images: uint8 [H, W, C] or, for one channel, [H, W], as an array, a tensor or the path
                of a file. Of a model of volumes: a mapping by modality, of which the first is predicted, to paths of
                NIfTI files or to arrays [D, H, W] in RAS; one of a single modality needs no mapping.
            spacing: Sides of a voxel in mm along the axes of the arrays, one for all or a mapping by modality.

        A ValueError for a wrong type or number of channels, a file that cannot be read, `spacing` missing or not used.
        """
        if isinstance(image, list):
            return [self._predict(each, spacing) for each in image]
        return self._predict(image, spacing)

    def _predict(self, image: Any, spacing: Any) -> Prediction:
        outputs = self._outputs(image, spacing)
        mask, probability = as_arrays(outputs["prediction"])
        levels = {name: each[0].float().cpu().numpy() for name, each in outputs.items() if name != "prediction"}
        return Prediction(probability, mask, levels)


def load(checkpoint: str | Path | Sequence[str | Path], device: str = "cpu", axes: Sequence[int] = ()) -> Model:
    """Load a model: a checkpoint of `fovea-train`, a published one of GazeMedSeg or CMC, or a file of `fovea-export`.

    Lightning is not imported, and nothing in the file is run. Only a `.pt2` may hold code: open only your own.

    Args:
        checkpoint: The file, or a run folder (its best checkpoint). Several: the mean of their probabilities.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, …
        axes: The prediction is the mean over flips along these axes, see `MeanOverFlips`.

    A ValueError if a file is missing, damaged or of another origin, several do not read the same input, or flips are
    wanted of an exported file.
    """
    paths, where = checkpoint_files(checkpoint), pick(device)
    if len(paths) == 1 and paths[0].suffix.lower() in SUFFIXES:
        if axes:
            raise ValueError(f"axes: {paths[0]} has fixed flips; export its checkpoint again with tta=flips")
        network, data = read_exported(paths[0], where)
        return Model(ImageInput(network, data), data)
    loaded, _ = checkpoints.load_all(paths, where)
    module = MeanOverFlips(loaded.module, axes) if axes else loaded.module
    data = loaded.config["data"]
    if "modalities" in data:
        return Model(VolumeInput(module, data, where), data, loaded.ids)
    return Model(ImageInput(FromPixels(data, module, where), data), data, loaded.ids)


@dataclass(frozen=True)
class Foreground:
    """The probability of the foreground by trained models; small to send to a process, which loads them once.

    The arguments are those of `load`, but several networks may read different inputs. A ValueError if a model has
    several classes, or reads volumes.
    """

    checkpoint: str | Sequence[str]
    device: str
    axes: Axes

    def __post_init__(self) -> None:
        """Load the models, so that a wrong checkpoint is refused before the first image."""
        for count in (model.classes for model in self._models() if model.classes > 1):
            raise ValueError(f"checkpoint has {count} classes; give that of a model of one structure (data.classes=1)")

    @cached_property
    def digest(self) -> str:
        """The hash of each checkpoint before it was loaded, joined by spaces."""
        return str(digest_of_weights(self.checkpoint))

    @property
    def trained_on(self) -> list[str]:
        """Return the ids of the images that the models were trained on, as far as their files name them."""
        return sorted({image for model in self._models() for image in model.trained_on})

    @property
    def reading(self) -> list[dict[str, Any]]:
        """Return how the images were read that each model was trained on, by key of `data`."""
        return [model.reading for model in self._models()]

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Return probabilities, float32 [H, W], for an image, uint8 [H, W, 3]."""
        gray = np.asarray(Image.fromarray(image).convert("L"))  # as files are read for a model of one channel
        images = [(model, gray if model.channels == 1 else image) for model in self._models()]
        return np.mean([model.predict(pixels).probability[0] for model, pixels in images], axis=0)

    def _models(self) -> list[Model]:
        paths = checkpoint_files(self.checkpoint)
        return [_loaded(str(path), self.digest, self.device, tuple(self.axes)) for path in paths]


@lru_cache(maxsize=8)
def _loaded(checkpoint: str, digest: str, device: str, axes: tuple[int, ...]) -> Model:
    single_thread_in_worker()
    model = load(checkpoint, device, axes)
    if model.modalities:
        raise ValueError(f"checkpoint: {checkpoint} reads volumes; give that of a model of images")
    if sha256(Path(checkpoint)) not in digest:  # e.g. by a training that still runs
        raise ValueError(f"checkpoint: {checkpoint} was replaced meanwhile; start again when it does not change")
    return model
