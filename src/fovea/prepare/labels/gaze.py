"""Eye gaze: a CSV of fixations, drawn as a heatmap."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from fovea.data.fixations import Fixations, read_fixations
from fovea.data.table import Annotations
from fovea.prepare.labels.heatmap import heatmap
from fovea.runtime.bounds import Count, NonNegative, Positive, PositiveFraction


@dataclass(frozen=True)
class Gaze:
    """Gaze as a label (Zhong et al. 2024); `configs/labels/gaze.yaml` describes the arguments."""

    path: str
    sigma: Positive
    canvas: Count
    min_duration: NonNegative
    dose: PositiveFraction
    fuse: Literal["mean", "agreement"] = "mean"

    def read(self, ids: Iterable[str]) -> Annotations:
        """Read the table and keep the `dose` of each image; its counts are the file's. Raises like `read_fixations`."""
        table = read_fixations(Path(self.path).expanduser(), ids, self.min_duration)
        return replace(table, images={name: gaze.first(self.dose) for name, gaze in table.images.items()})

    def draw(self, annotation: Fixations, size: tuple[int, int]) -> np.ndarray:
        """Return the heatmap, 0 where nobody looked, which means background. Those of several observers are fused.

        `agreement` is their geometric mean, the logarithmic pool of opinions (Genest and Zidek, Statistical Science
        1986): high only where all observers looked.
        """
        parts = annotation.by_observer()
        heats = [heatmap(each.x, each.y, each.duration, size, self.canvas, self.sigma) for each in parts]
        if len(heats) == 1:
            return heats[0]
        pooled = np.mean(heats, axis=0) if self.fuse == "mean" else np.prod(heats, axis=0) ** (1 / len(heats))
        return np.asarray(pooled, np.float32)
