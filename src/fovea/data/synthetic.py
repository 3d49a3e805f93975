"""Generated endoscopy-like images with lesions: every command runs on them before real data is at hand."""

import json
import os
import shutil
from pathlib import Path
from uuid import uuid4

import cv2
import numpy as np
from PIL import Image

from fovea.data.folder import Folder
from fovea.runtime.errors import FoveaError
from fovea.runtime.files import make_folder, unwritable, write_json

_PARAMETERS = "synthetic.json"
_VERSION = 1


class Synthetic(Folder):
    """A `Folder` that draws itself into `root` when it is first used: PNG images, 1-bit PNG masks.

    `synthetic.json` beside them names the parameters. The folder appears whole or not at all, so that jobs that
    start together do not disturb one another: the first to finish wins, and all drew the same.

    Args:
        root: the folder to draw into, or one drawn before with the same parameters.
        images: number of images.
        image_size: mean side of an image in pixels; height and width vary by 15 %.
        seed: seed of the drawing; image n is the same however many there are.
        channels: as for `Folder`.
        classes: as for `Folder`; the masks serve as binary (1) and as labels (2 or more).
        protocol: as for `Folder`.
        val_fraction: as for `Folder`.
        test_fraction: as for `Folder`.
        split_seed: as for `Folder`.

    Raises:
        FoveaError: `root` holds something else, or cannot be written.
    """

    def __init__(
        self,
        root: str | Path,
        images: int = 48,
        image_size: int = 128,
        seed: int = 0,
        channels: int = 3,
        classes: int = 1,
        protocol: str = "clean",
        val_fraction: float = 0.1,
        test_fraction: float = 0.2,
        split_seed: int = 0,
    ) -> None:
        if images < 1 or image_size < 32 or seed < 0:
            raise FoveaError(
                f"data.dataset: images={images} image_size={image_size} seed={seed}; "
                "at least 1 image, 32 pixels and seed 0 are needed"
            )
        parameters = {"images": images, "image_size": image_size, "seed": seed, "version": _VERSION}
        _generate(Path(root).expanduser(), parameters)
        super().__init__(root, channels, classes, protocol, val_fraction, test_fraction, split_seed)


def draw(rng: np.random.Generator, image_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw one image: mucosa with folds around a dark lumen, one to three lesions on it, and wet highlights.

    Lesions cover from about 1 % to 25 % of the image. They differ from the mucosa in hue, texture and relief, some
    plainly and some hardly, and everything but them (brightness, folds, highlights) varies too, so that no threshold
    on colour finds them.

    Args:
        rng: source of every choice.
        image_size: mean side in pixels; height and width are drawn within 15 % of it.

    Returns:
        (image uint8 [H, W, 3], mask uint8 {0, 1} [H, W]).
    """
    height, width = (round(image_size * rng.uniform(0.85, 1.15)) for _ in range(2))
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / np.float32(max(height, width))
    tissue = np.array([0.80, rng.uniform(0.38, 0.50), rng.uniform(0.26, 0.40)], np.float32)
    light = _illumination(rng, y, x)
    colour = tissue * (1 + 0.05 * _noise(rng, y.shape, 6)[..., None] * np.array([0.3, 1, 1], np.float32))
    mask = np.zeros(y.shape, bool)
    first = np.exp(rng.uniform(np.log(0.012), np.log(0.25)))
    areas = [first, *np.exp(rng.uniform(np.log(0.012), np.log(0.05), rng.choice(3, p=[0.6, 0.25, 0.15])))]
    for area in areas:
        inside, dome = _blob(rng, y, x, area)
        contrast = rng.uniform(0.3, 1.0)
        hue = np.array([1.0, *rng.uniform(0.62, 0.9, 2)]) if rng.random() < 0.6 else np.array([1.1, 1.3, 1.35])
        texture = 0.12 * _noise(rng, y.shape, 24)
        tint = 1 + contrast * ((hue.astype(np.float32) - 1) + texture[..., None])
        colour = colour * (1 + inside[..., None] * (tint - 1))
        light = light * (1 + contrast * dome)
        mask |= inside > 0.5
    shine = _noise(rng, y.shape, 30) * light + 0.5 * _noise(rng, y.shape, 7)
    shine = np.clip((shine - np.quantile(shine, rng.uniform(0.975, 0.995))) * 4, 0, 1)
    picture = colour * light[..., None] + 0.8 * shine[..., None]
    picture += rng.normal(0, 0.012, picture.shape).astype(np.float32)
    return (np.clip(picture, 0, 1) * 255).astype(np.uint8), mask.astype(np.uint8)
