"""The guided filter, for images on which a CRF does harm."""

from dataclasses import dataclass

import cv2
import numpy as np

from fovea.runtime.bounds import Count, Positive


@dataclass(frozen=True)
class Guided:
    """Guided filter: in each window, `radius` pixels around its center, the map is a linear function of the intensity.

    He, Sun and Tang, *Guided Image Filtering*, 2010; the gray image is the guide. See `configs/refine/guided.yaml`.
    """

    radius: Count
    epsilon: Positive

    def __call__(self, image: np.ndarray, probability: np.ndarray) -> np.ndarray:
        side = 2 * min(self.radius, max(probability.shape)) + 1
        guide = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) / 255.0

        def mean(values: np.ndarray) -> np.ndarray:
            return cv2.blur(values, (side, side), borderType=cv2.BORDER_REPLICATE)

        target = probability.astype(np.float64)  # differences of large sums
        mean_guide, mean_target = mean(guide), mean(target)
        covariance = mean(guide * target) - mean_guide * mean_target
        variance = np.maximum(mean(guide * guide) - mean_guide**2, 0)
        slope = covariance / (variance + self.epsilon)
        result = mean(slope) * guide + mean(mean_target - slope * mean_guide)
        return np.clip(result, 0, 1).astype(np.float32)
