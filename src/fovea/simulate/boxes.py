"""A simulated annotator who draws boxes."""

from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np

from fovea.data.table import BOX_COLUMNS
from fovea.runtime.bounds import Fraction, NonNegative
from fovea.simulate.parts import parts


@dataclass(frozen=True)
class Boxes:
    """Draws a box around each part of the mask; `configs/observer/box.yaml` describes the arguments."""

    columns: ClassVar[tuple[str, ...]] = BOX_COLUMNS

    jitter: NonNegative
    smallest: Fraction

    def label(self, file: str, mask: np.ndarray, rng: np.random.Generator) -> list[tuple[object, ...]]:
        """Return one row a box, in whole pixels of the image."""
        rows: list[tuple[object, ...]] = []
        for part in parts(mask, self.smallest):
            x, y, *sides = cv2.boundingRect(part)
            edges = np.add((x, y), ((0, 0), sides)) + rng.normal(0.0, self.jitter, (2, 2)) * sides
            low, high = np.sort(np.clip(np.rint(edges), 0, mask.shape[::-1]), axis=0).astype(int)
            low = np.minimum(low, np.array(mask.shape[::-1]) - 1)
            rows.append((file, *low, *np.maximum(high, low + 1)))
        return rows
