"""GrabCut, for images on which a CRF does harm."""

from dataclasses import dataclass
from typing import Annotated

import cv2
import numpy as np
from pydantic import Field

from fovea.runtime.bounds import Count, NonNegativeInt


@dataclass(frozen=True)
class GrabCut:
    """GrabCut started from the map: color models of foreground and background, and a cut between them, in turn.

    Rother, Kolmogorov and Blake, *"GrabCut": Interactive Foreground Extraction using Iterated Graph Cuts*, 2004. The
    first models take pixels above 0.5 as foreground, and those of 0.5, which nobody labeled, as the nearest other one.
    `configs/refine/grabcut.yaml` describes the arguments.
    """

    iterations: NonNegativeInt
    background: Annotated[float, Field(strict=True, ge=0, lt=0.5)]
    foreground: Annotated[float, Field(strict=True, gt=0.5, allow_inf_nan=False)]
    side: Count | None = None

    def __call__(self, image: np.ndarray, probability: np.ndarray) -> np.ndarray:
        """Return a map of 0 and 1; one that is foreground everywhere or nowhere has nothing to cut and stays so."""
        height, width = probability.shape
        part = self.side / max(height, width) if self.side else 1
        if part >= 1:
            return self._cut(image, probability)
        size = max(round(part * width), 1), max(round(part * height), 1)
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        cut = self._cut(small, cv2.resize(probability, size, interpolation=cv2.INTER_NEAREST_EXACT))
        found = cv2.resize(cut, (width, height)) >= 0.5
        # The smaller image may have lost certain pixels, e.g. of a thin stroke.
        found = np.where(probability <= self.background, False, found | (probability >= self.foreground))
        return found.astype(np.float32)

    def _cut(self, image: np.ndarray, probability: np.ndarray) -> np.ndarray:
        target = probability >= 0.5
        if (unlabeled := probability == 0.5).any() and not unlabeled.all():
            near = [
                cv2.distanceTransform((~side).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
                for side in (probability > 0.5, probability < 0.5)
            ]
            target[unlabeled] = (near[0] <= near[1])[unlabeled]
        labels = np.where(target, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
        labels[probability <= self.background] = cv2.GC_BGD
        labels[probability >= self.foreground] = cv2.GC_FGD
        if self.iterations and target.any() and not target.all():
            cv2.setRNGSeed(0)  # of the clustering that starts the color models
            bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
            models = np.zeros((1, 65)), np.zeros((1, 65))
            cv2.grabCut(bgr, labels, (0, 0, 0, 0), *models, self.iterations, cv2.GC_INIT_WITH_MASK)
        return np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.float32)
