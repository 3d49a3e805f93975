"""Generated endoscopy-like images with lesions: every command runs on them before real data is at hand."""

import math
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image
from tqdm import tqdm

from fovea.data.generated import draw_once
from fovea.data.images.folder import Folder

_VERSION = 1


class Synthetic(Folder):
    """A `Folder` that draws itself into `root` when it is first used: PNG images, 1-bit PNG masks.

    The folder appears whole or not at all, see `fovea.data.generated.draw_once`.

    Args:
        root: the folder to draw into, or one drawn before with the same parameters.
        images: number of images.
        image_size: mean side of an image in pixels; height and width vary by 15 %.
        seed: seed of the drawing; image n is the same however many there are.
        **options: as for `Folder`; the masks serve as binary (1 class) and as labels (2 or more).

    Raises:
        ValueError: `root` holds something else, or cannot be written.
    """

    def __init__(
        self,
        root: str | Path,
        images: int = 48,
        image_size: int = 128,
        seed: int = 0,
        **options: Any,
    ) -> None:
        if images < 1 or image_size < 32 or seed < 0:
            raise ValueError(
                f"data.dataset: images={images} image_size={image_size} seed={seed}; "
                "at least 1 image, 32 pixels and seed 0 are needed"
            )
        parameters = {"images": images, "image_size": image_size, "seed": seed, "version": _VERSION}
        fill = partial(_fill, images=images, image_size=image_size, seed=seed)
        draw_once(Path(root).expanduser(), parameters, fill)
        super().__init__(root, **options)


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
        inside, relief = _blob(rng, y, x, area)
        contrast = rng.uniform(0.45, 1.1)
        hue = np.array([1.0, *rng.uniform(0.62, 0.9, 2)]) if rng.random() < 0.6 else np.array([1.1, 1.3, 1.35])
        texture = 0.12 * _noise(rng, y.shape, 24)
        tint = 1 + contrast * ((hue.astype(np.float32) - 1) + texture[..., None])
        colour = colour * (1 + inside[..., None] * (tint - 1))
        light = light + 0.6 * inside * (float(np.median(light)) - light)  # it stands before the folds and the lumen
        light = light * (1 + contrast * relief)
        mask |= inside > 0.5
    wet = light * (0.6 + 0.5 * _noise(rng, y.shape, 4)) + 0.22 * _noise(rng, y.shape, 28)
    shine = np.clip((wet - float(np.quantile(wet, rng.uniform(0.975, 0.997)))) * 5, 0, 1)
    picture = colour * light[..., None] + 0.75 * shine[..., None]
    picture += 0.012 * rng.standard_normal(picture.shape, dtype=np.float32)
    return (np.clip(picture, 0, 1) * 255).astype(np.uint8), mask.astype(np.uint8)


def _noise(rng: np.random.Generator, shape: tuple[int, int], cells: int) -> np.ndarray:
    """Smooth noise of about unit variance, float32 [H, W], with `cells` independent values along a side."""
    grid = rng.standard_normal((cells, cells)).astype(np.float32)
    return cv2.resize(grid, shape[::-1], interpolation=cv2.INTER_CUBIC)


def _illumination(rng: np.random.Generator, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Light on the mucosa: dark lumen, folds that ring it, uneven wall, dark rim of the view."""
    bottom, right = float(y.max()), float(x.max())
    row, column = rng.uniform(-0.1, 1.1) * bottom, rng.uniform(-0.1, 1.1) * right
    depth = np.hypot(y - row, x - column) + 0.05 * _noise(rng, y.shape, 4)
    light = 0.3 + 0.75 * np.clip(depth / rng.uniform(0.25, 0.6), 0, 1)
    phase = np.sqrt(np.maximum(depth, 0)) * rng.uniform(14, 30) + 0.9 * _noise(rng, y.shape, 3)
    crease = np.maximum(np.sin(phase), 0) ** 6
    ridge = np.maximum(np.sin(phase - 0.7), 0) ** 4
    light *= 1 + rng.uniform(0.4, 1) * np.clip(0.8 + 0.5 * _noise(rng, y.shape, 3), 0, 1.2) * (
        0.18 * ridge - 0.4 * crease
    )
    light *= 1 + 0.07 * _noise(rng, y.shape, 5) + 0.04 * _noise(rng, y.shape, 16) + 0.03 * _noise(rng, y.shape, 48)
    rim = np.hypot(y / bottom - 0.5, x / right - 0.5) / 0.62
    return np.maximum(light, 0.08) * (1 - 0.85 * np.clip((rim - 0.75) / 0.35, 0, 1) ** 1.5)


def _blob(rng: np.random.Generator, y: np.ndarray, x: np.ndarray, area: float) -> tuple[np.ndarray, np.ndarray]:
    """A lesion of a share `area` of the image: its soft inside in [0, 1], and the light that its relief adds."""
    bottom, right = float(y.max()), float(x.max())
    radius = math.sqrt(area * bottom * right / math.pi)
    margin = min(0.75 * radius, 0.3) + 0.12
    row, column = rng.uniform(margin, bottom - margin), rng.uniform(margin, right - margin)
    turn, stretch, softness = rng.uniform(0, math.pi), rng.uniform(1, 1.35), rng.uniform(0.06, 0.18)
    down, across = y - row, x - column
    along = (down * math.sin(turn) + across * math.cos(turn)) / stretch
    aside = (down * math.cos(turn) - across * math.sin(turn)) * stretch
    angle = np.arctan2(aside, along)
    outline = np.ones_like(angle)
    for harmonic in range(2, 6):
        outline += rng.normal(0, 0.3 / harmonic**1.5) * np.cos(harmonic * angle + rng.uniform(0, 2 * math.pi))
    distance = np.hypot(along, aside) / (radius * np.maximum(outline, 0.4))
    inside = np.clip((1 - distance) / softness + 0.5, 0, 1)
    toward = rng.uniform(0, 2 * math.pi)
    slope = (down * math.sin(toward) + across * math.cos(toward)) / radius
    shadow = np.exp(-(((distance - 1.08) / 0.12) ** 2))
    relief = inside * (0.12 + 0.3 * slope - 0.25 * np.minimum(distance, 1) ** 4) - 0.28 * shadow * (slope < 0.4)
    return inside, relief


def _fill(folder: Path, images: int, image_size: int, seed: int) -> None:
    """Write images and masks into an empty folder."""
    for kind in ("images", "masks"):
        (folder / kind).mkdir()
    for index in tqdm(range(images), desc="draw", unit="image", delay=2):
        image, mask = draw(np.random.default_rng([seed, index]), image_size)
        Image.fromarray(image).save(folder / "images" / f"image_{index:04d}.png")
        Image.fromarray(mask * 255).convert("1").save(folder / "masks" / f"image_{index:04d}.png")
