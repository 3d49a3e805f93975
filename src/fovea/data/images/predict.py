"""Masks and overlays of unseen images."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from fovea.data.images.files import write_image
from fovea.data.images.normalize import Transform
from fovea.data.images.samples import resize_image, to_tensor
from fovea.pictures.overlay import overlay, palette
from fovea.supervision.outputs import labels

log = logging.getLogger(__name__)


@torch.inference_mode()
def predict(
    module: nn.Module,
    images: Mapping[str, Path],
    decode: Callable[[Path], np.ndarray],
    size: int,
    normalize: Transform,
    device: torch.device,
    out: Path,
) -> dict[str, str]:
    """Write `masks/<name>.png` and `overlays/<name>.png` into `out` for images of any size.

    A mask has the size of its image; one class is written as 0 and 255, several as their indices into a
    palette of the colors of the overlay.

    Args:
        module: A supervision module in evaluation mode on `device`.
        images: The files by name.
        decode: Reads a file to uint8 [H, W, channels of the network]; see `Folder.decode`.
        size: Side of the network's input, in pixels.
        normalize: Albumentations transform of the network's input.
        device: Device of the module.
        out: Folder; it is made if it does not exist.

    Returns:
        The reason by name for each image that cannot be read; all others are predicted.

    Raises:
        ValueError: `out` cannot be written.
    """
    failures = {}
    for name, path in tqdm(images.items(), desc="predict", unit="image"):
        try:
            image = decode(path)
        except ValueError as error:
            failures[name] = str(error)
            log.error("%s", error)
            continue
        tensor = to_tensor(resize_image(image, size), normalize)[None].to(device)
        probability = module(tensor, image.shape[:2])["prediction"]
        mask = labels(probability)[0].cpu().numpy().astype(np.uint8)
        classes = probability.shape[1]
        write_image(out / "masks" / f"{name}.png", mask * 255 if classes == 1 else mask, palette(classes))
        color = image if image.shape[2] == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
        write_image(out / "overlays" / f"{name}.png", overlay(color, mask))
    return failures
