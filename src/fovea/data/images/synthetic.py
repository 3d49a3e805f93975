"""Generated images with lesions, to try all commands without a download."""

import math
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
from PIL import Image
from pydantic import Field
from tqdm import tqdm

from fovea.data.generated import draw_once
from fovea.data.images.folder import Folder
from fovea.runtime.bounds import Count, NonNegativeInt

_VERSION = 2  # of the drawing; a folder of another version is refused


class Synthetic(Folder):
    """A `Folder` that is drawn into `root` at its first use: PNG images and 1-bit PNG masks.

    `configs/data/synthetic.yaml` describes the arguments, see also `draw_once`. Image n does not depend on the number
    of images, and the masks serve as binary (1 class) and as labels (2 or more).
    """

    def __init__(
        self,
        root: str | Path,
        images: Count = 48,
        image_size: Annotated[int, Field(strict=True, ge=32)] = 128,
        seed: NonNegativeInt = 0,
        **options: Any,
    ) -> None:
        parameters = {"images": images, "image_size": image_size, "seed": seed, "version": _VERSION}
        fill = partial(_fill, images=images, image_size=image_size, seed=seed)
        draw_once(Path(root).expanduser(), parameters, fill)
        super().__init__(root, **options)


def draw(rng: np.random.Generator, image_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw reddish tissue with folds and one to three lesions that differ in hue and texture.

    Brightness, folds and highlights vary everywhere, so a threshold on brightness does not find the lesions, which
    cover about 1 % to 25 % of the image. Returned are the image uint8 [H, W, 3] and the mask uint8 [H, W] of 0 and 1.
    """
    height, width = (round(image_size * rng.uniform(0.85, 1.15)) for _ in range(2))
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / np.float32(max(height, width))
    noise = partial(_noise, rng, y.shape)
    depth = np.hypot(y - rng.uniform(0, 1), x - rng.uniform(0, 1)) + 0.05 * noise(4)
    folds = np.maximum(np.sin(rng.uniform(14, 30) * np.sqrt(np.maximum(depth, 0)) + 0.9 * noise(3)), 0) ** 6
    light = (0.35 + 0.7 * np.clip(depth / rng.uniform(0.25, 0.6), 0, 1)) * (1 - 0.35 * folds)
    light *= 1 + 0.07 * noise(5) + 0.05 * noise(16)
    tissue = np.array([0.8, rng.uniform(0.38, 0.5), rng.uniform(0.26, 0.4)], np.float32)
    color = tissue * (1 + 0.05 * noise(6)[..., None] * np.array([0.3, 1, 1], np.float32))
    mask = np.zeros(y.shape, bool)
    first = np.exp(rng.uniform(np.log(0.012), np.log(0.25)))
    for area in [first, *np.exp(rng.uniform(np.log(0.012), np.log(0.05), rng.integers(3)))]:
        inside = _blob(rng, y, x, area)
        hue = np.array([1.0, *rng.uniform(0.62, 0.9, 2)]) if rng.random() < 0.6 else np.array([1.1, 1.3, 1.35])
        tint = rng.uniform(0.45, 1.1) * (hue.astype(np.float32) - 1 + 0.12 * noise(24)[..., None])
        color = color * (1 + inside[..., None] * tint)
        light = light + 0.5 * inside * (float(np.median(light)) - light)  # a lesion covers the folds behind it
        mask |= inside > 0.5
    wet = light * (0.6 + 0.5 * noise(4)) + 0.22 * noise(28)
    shine = np.clip((wet - float(np.quantile(wet, rng.uniform(0.975, 0.997)))) * 5, 0, 1)
    picture = color * light[..., None] + 0.75 * shine[..., None]
    picture += 0.012 * rng.standard_normal(picture.shape, dtype=np.float32)
    return (np.clip(picture, 0, 1) * 255).astype(np.uint8), mask.astype(np.uint8)


def _noise(rng: np.random.Generator, shape: tuple[int, int], cells: int) -> np.ndarray:
    """Return smooth noise of about unit variance, float32 [H, W], with `cells` independent values along a side."""
    grid = rng.standard_normal((cells, cells)).astype(np.float32)
    return cv2.resize(grid, shape[::-1], interpolation=cv2.INTER_CUBIC)


def _blob(rng: np.random.Generator, y: np.ndarray, x: np.ndarray, area: float) -> np.ndarray:
    """Return the soft inside in [0, 1] of a blob with a wavy outline that covers a part `area` of the image."""
    bottom, right = float(y.max()), float(x.max())
    radius = math.sqrt(area * bottom * right / math.pi)
    margin = min(0.75 * radius, 0.3) + 0.12
    down, across = y - rng.uniform(margin, bottom - margin), x - rng.uniform(margin, right - margin)
    angle, outline = np.arctan2(down, across), np.ones_like(y)
    for harmonic in range(2, 6):
        outline += rng.normal(0, 0.3 / harmonic**1.5) * np.cos(harmonic * angle + rng.uniform(0, 2 * math.pi))
    distance = np.hypot(down, across) / (radius * np.maximum(outline, 0.4))
    return np.clip((1 - distance) / rng.uniform(0.06, 0.18) + 0.5, 0, 1)


def _fill(folder: Path, images: int, image_size: int, seed: int) -> None:
    for name in ("images", "masks"):
        (folder / name).mkdir()
    for index in tqdm(range(images), desc="draw", unit="image", delay=2):
        image, mask = draw(np.random.default_rng([seed, index]), image_size)
        Image.fromarray(image).save(folder / "images" / f"image_{index:04d}.png")
        Image.fromarray(mask * 255).convert("1").save(folder / "masks" / f"image_{index:04d}.png")
