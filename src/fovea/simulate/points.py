"""A simulated annotator who clicks on the structure and beside it."""

from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np

from fovea.data.table import POINT_COLUMNS
from fovea.runtime.bounds import Count, NonNegative, NonNegativeInt
from fovea.simulate.parts import depth, parts


@dataclass(frozen=True)
class Points:
    """Clicks on each image; `configs/observer/point.yaml` describes the arguments."""

    columns: ClassVar[tuple[str, ...]] = POINT_COLUMNS

    foreground: Count
    background: NonNegativeInt
    margin: NonNegative

    def label(self, file: str, mask: np.ndarray, rng: np.random.Generator) -> list[tuple[object, ...]]:
        """Return one row a click, in pixels: the deepest point of the largest part, then points drawn at random.

        Clicks on the background keep the margin to the mask, unless no pixel does. An empty mask has only these.
        """
        clicks: list[tuple[np.ndarray, int]] = []
        if found := parts(mask):
            deepest = np.argmax(depth(found[0]))
            clicks.append((np.array([deepest]), 1))
            clicks.append((rng.choice(np.flatnonzero(mask > 0), self.foreground - 1), 1))
        far = cv2.distanceTransform((mask <= 0).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        far[mask < 0] = 0  # nobody knows what is there
        if far.any():
            outside = np.flatnonzero(far > min(self.margin * min(mask.shape), far.max() - 1))
            clicks.append((rng.choice(outside, self.background), 0))
        return [
            (file, f"{column + 0.5:.1f}", f"{row + 0.5:.1f}", kind)
            for places, kind in clicks
            for row, column in zip(*np.unravel_index(places, mask.shape), strict=True)
        ]
