"""Masks and overlays of new images."""

import logging
from collections.abc import Callable, Mapping
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
from fovea.data.predictions import FOLDERS, files_below, named, recorded, report_left_aside
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


def predict(data: Mapping[str, Any], network: Pixels, source: Path, out: Path) -> tuple[int, dict[str, str]]:
    """Write `masks/<name>.png` and `overlays/<name>.png` for one image or those of a folder, of any size.

    A mask has the size of its image; one class is written as 0 and 255, several as their indices. `data` says how
    images are read. See `fovea.data.source.Source.predict`.
    """
    images, decode = _images(data, source), decoder(data)
    files = {f"{folder}/{name}.png": path for name, path in images.items() for folder in FOLDERS}
    failures = {}
    with recorded(out, files):
        for name, path in tqdm(images.items(), desc="predict", unit="image"):
            try:
                image = decode(path)
            except ValueError as error:
                failures[name] = str(error)
                log.error("%s", error)
                continue
            probability = network(image)["prediction"]
            mask = labels(probability)[0].cpu().numpy().astype(np.uint8)
            classes = probability.shape[1]
            write_image(out / "masks" / f"{name}.png", mask * 255 if classes == 1 else mask, palette(classes))
            color = image if image.shape[2] == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
            write_image(out / "overlays" / f"{name}.png", overlay(color, mask))
    return len(images), failures


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
