"""Points: a CSV of clicks on the structure and on the background."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from fovea.data.table import POINT_COLUMNS, Annotations
from fovea.prepare.labels.rows import Rows, Unit, by_image, from_csv
from fovea.runtime.bounds import Count, Positive


@dataclass(frozen=True)
class Points:
    """Clicks as a label; `configs/labels/points.yaml` describes the arguments."""

    path: str
    unit: Unit
    sigma: Positive
    canvas: Count

    def read(self, ids: Iterable[str]) -> Annotations:
        """Read all clicks; ValueError if the file is damaged or no click is on an image."""
        return by_image(self.path, from_csv(self.path, POINT_COLUMNS), ids, "clicks")

    def draw(self, annotation: Rows, size: tuple[int, int]) -> np.ndarray:
        """Return F (1 - B): F and B are the highest Gaussian around a click on the foreground or the background.

        A ValueError if a click is outside the image, or has another class than 0 and 1.
        """
        for kind, place in zip(annotation.values[:, 2], annotation.places, strict=True):
            if kind not in (0, 1):
                raise ValueError(f"{self.path}: {place}: no class {kind:g}; 1 is foreground, 0 is background")
        points = annotation.pixels(2, size, self.unit, self.path) / size[::-1]
        foreground = annotation.values[:, 2] == 1
        return self._highest(points[foreground], size) * (1 - self._highest(points[~foreground], size))

    def _highest(self, points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Return the highest of the Gaussians around points, fractions of the sides [N, 2]; 0 without any."""
        highest = np.zeros(size, np.float32)
        for x, y in points:
            down, across = (
                np.exp(-((((np.arange(side) + 0.5) / side - at) * self.canvas / self.sigma) ** 2) / 2)
                for side, at in zip(size, (y, x), strict=True)
            )
            np.maximum(highest, np.outer(down, across).astype(np.float32), out=highest)
        return highest
