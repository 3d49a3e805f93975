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
from fovea.data.images.samples import Transform, resize_image, to_tensor
from fovea.pictures.overlay import overlay
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

    A mask has the image's own size; one class is written as 0 and 255, more as their labels.

    Args:
        module: A supervision module in evaluation mode on `device`.
        images: Files by name.
        decode: Reads a file as uint8 [H, W, channels of the model's input]; see `Folder.decode`.
        size: Side of the model's input, in pixels.
        normalize: Albumentations transform of the model's input.
        device: Where the module is.
        out: Folder, made if need be.

    Returns:
        The reason, by name, for each image that could not be read; the others are done.

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
        write_image(out / "masks" / f"{name}.png", mask * 255 if probability.shape[1] == 1 else mask)
        colour = image if image.shape[2] == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
        write_image(out / "overlays" / f"{name}.png", overlay(colour, mask))
    return failures
