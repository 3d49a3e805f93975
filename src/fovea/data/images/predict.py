"""Masks and overlays of new images."""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from fovea.data.images.files import warn_orientations, write_image
from fovea.data.images.folder import Folder
from fovea.data.images.samples import resize_image, to_tensor
from fovea.data.prediction_record import Planned, recorded
from fovea.data.predictions import PredictRequest, class_names, files_below, named, outputs, report_left_aside
from fovea.pictures.overlay import overlay, palette
from fovea.runtime.config import instantiate, locate
from fovea.supervision.outputs import labels

log = logging.getLogger(__name__)

Pixels = Callable[[np.ndarray], Mapping[str, Tensor]]
"""Maps an image uint8 [H, W, C] of any size to probabilities [1, K, H, W] by name."""


class FromPixels:
    """A trained module on images as they are decoded: resized and normalized as in the training with `data`."""

    def __init__(self, data: Mapping[str, Any], module: nn.Module, device: torch.device) -> None:
        self.module, self.size, self.device = module, data["size"], device
        self.normalize = instantiate(data["normalize"])

    @torch.inference_mode()
    def __call__(self, pixels: np.ndarray) -> Mapping[str, Tensor]:
        tensor = to_tensor(resize_image(pixels, self.size), self.normalize)[None].to(self.device)
        outputs: Mapping[str, Tensor] = self.module(tensor, pixels.shape[:2])
        return outputs


def decoder(data: Mapping[str, Any]) -> Callable[[Path], np.ndarray]:
    """Return what reads an image file to uint8 [H, W, C], as in the training with the group `data`."""
    reading = {key: data[key] for key in ("range", "exif") if key in data}  # older checkpoints have neither
    return partial(_dataset(data).decode, channels=data["channels"], **reading)


def predict(data: Mapping[str, Any], network: Pixels, request: PredictRequest) -> tuple[int, dict[str, str]]:
    """Write a mask, an overlay and maps of the probabilities for one image or those of a folder, of any size.

    A mask has the size of its image; one class is written as 0 and 255, several as their indices. `data` says how
    images are read. See `fovea.data.source.Source.predict`.
    """
    images, decode, names = _images(data, request.source), decoder(data), class_names(data)
    files = {name: outputs(name, ".png", names, request) for name in images}
    planned = {name: Planned(path, [path], [*files[name].values()]) for name, path in images.items()}
    failures = {}
    with recorded(request.out, planned, request.key) as record:
        for name, path in tqdm(images.items(), desc="predict", unit="image"):
            if record.is_done(name):
                continue
            try:
                image = decode(path)
            except ValueError as error:
                failures[name] = str(error)
                log.error("%s", error)
                continue
            predicted = network(image)["prediction"]
            mask, probability = labels(predicted)[0].cpu().numpy().astype(np.uint8), predicted[0].float().cpu().numpy()
            _write({kind: request.out / file for kind, file in files[name].items()}, image, mask, probability, names)
            record.add(name, mask, probability, None, names, foreground=255)
    return len(images), failures


def _write(
    files: Mapping[str, Path], image: np.ndarray, mask: np.ndarray, probability: np.ndarray, names: Sequence[str]
) -> None:
    classes = len(probability)
    write_image(files["mask"], mask * 255 if classes == 1 else mask, palette(classes))
    color = image if image.shape[2] == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    write_image(files["overlay"], overlay(color, mask))
    for name, values in zip(names, probability[-len(names) :], strict=True):
        if name in files:
            write_image(files[name], np.rint(values.clip(0, 1) * 65535).astype(np.uint16))


def _images(data: Mapping[str, Any], source: Path) -> dict[str, Path]:
    """Return the images below `source` by name, and log what concerns them and the other files."""
    suffixes, found = _dataset(data).image_suffixes, files_below(source)
    paths = [path for path in found if path.suffix.lower() in suffixes and path.is_file()]
    wanted = ", ".join(sorted(suffixes))
    if not paths:
        raise ValueError(f"input: {source} has no image ({wanted}) among its {len(found)} files")
    report_left_aside(source, sorted({*found} - {*paths}), wanted)
    if data.get("exif", "ignore") == "ignore":
        warn_orientations(source, tuple(paths))
    return named(source, paths)


def _dataset(data: Mapping[str, Any]) -> type[Folder]:
    dataset = locate(data["dataset"]["_target_"], "checkpoint: data.dataset._target_")
    if not issubclass(dataset, Folder):
        raise ValueError(f"checkpoint: {dataset.__name__} is not a data set of images; give a file of fovea-train")
    return dataset
