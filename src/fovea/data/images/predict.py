"""Masks and overlays of new images."""

import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from fovea.data.images.files import warn_orientations, write_image
from fovea.data.images.folder import Folder
from fovea.data.images.samples import resize_image, to_tensor
from fovea.data.predictions import files_below, named, recorded, report_left_aside
from fovea.pictures.overlay import overlay, palette
from fovea.runtime.config import instantiate, locate
from fovea.supervision.outputs import labels

log = logging.getLogger(__name__)


def decoder(data: Mapping[str, Any]) -> Callable[[Path], np.ndarray]:
    """Return what reads an image file to uint8 [H, W, C], as in the training with the group `data`."""
    reading = {key: data[key] for key in ("range", "exif") if key in data}  # older checkpoints have neither
    return partial(_dataset(data).decode, channels=data["channels"], **reading)


@torch.inference_mode()
def predict(
    data: Mapping[str, Any], module: nn.Module, source: Path, out: Path, device: torch.device
) -> tuple[int, dict[str, str]]:
    """Write `masks/<name>.png` and `overlays/<name>.png` for one image or those of a folder, of any size.

    A mask has the size of its image; one class is written as 0 and 255, several as their indices. See
    `fovea.data.source.Source.predict`.
    """
    images, decode, normalize = _images(data, source), decoder(data), instantiate(data["normalize"])
    files = {f"{folder}/{name}.png": path for name, path in images.items() for folder in ("masks", "overlays")}
    failures = {}
    with recorded(out, files):
        for name, path in tqdm(images.items(), desc="predict", unit="image"):
            try:
                image = decode(path)
            except ValueError as error:
                failures[name] = str(error)
                log.error("%s", error)
                continue
            tensor = to_tensor(resize_image(image, data["size"]), normalize)[None].to(device)
            probability = module(tensor, image.shape[:2])["prediction"]
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
