"""Eye gaze: a CSV of fixations, drawn as a heatmap."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fovea.data.fixations import Fixations, FixationTable, read_fixations
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

    def read(self, ids: Iterable[str]) -> FixationTable:
        """Read the table; raises like `read_fixations`."""
        return read_fixations(Path(self.path).expanduser(), ids, self.min_duration).first(self.dose)

    def draw(self, annotation: Fixations, size: tuple[int, int]) -> np.ndarray:
        """Return the heatmap, the mean over the observers. It is 0 where nobody looked: that tells background."""
        parts = annotation.by_observer()
        heats = [heatmap(each.x, each.y, each.duration, size, self.canvas, self.sigma) for each in parts]
        return heats[0] if len(heats) == 1 else np.mean(heats, axis=0)
