"""Refiners that need no CRF, for images on which it does harm."""

import cv2
import numpy as np


def guided(image: np.ndarray, probability: np.ndarray, radius: int, epsilon: float) -> np.ndarray:
    """Guided filter: in every window the map is a linear function of the image's intensity.

    He, Sun and Tang, *Guided Image Filtering*, 2010, with the grey image as the guide.

    Args:
        image: uint8 [H, W, 3].
        probability: float32 [H, W] in [0, 1].
        radius: of the window in pixels; it has 2 radius + 1 on a side.
        epsilon: variance of intensity in [0, 1]; where there is less, the map is smoothed.

    Returns:
        float32 [H, W] in [0, 1].
    """
    side = 2 * min(radius, max(probability.shape)) + 1
    guide = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) / 255.0

    def mean(values: np.ndarray) -> np.ndarray:
        return cv2.blur(values, (side, side), borderType=cv2.BORDER_REPLICATE)

    target = probability.astype(np.float64)  # differences of large sums
    mean_guide, mean_target = mean(guide), mean(target)
    covariance = mean(guide * target) - mean_guide * mean_target
    variance = np.maximum(mean(guide * guide) - mean_guide**2, 0)
    slope = covariance / (variance + epsilon)
    result = mean(slope) * guide + mean(mean_target - slope * mean_guide)
    return np.clip(result, 0, 1).astype(np.float32)


def grabcut(
    image: np.ndarray, probability: np.ndarray, iterations: int, background: float, foreground: float
) -> np.ndarray:
    """GrabCut, started from the map: colour models of target and background, and a cut between them.

    Rother, Kolmogorov and Blake, *"GrabCut": Interactive Foreground Extraction using Iterated Graph Cuts*, 2004.

    Args:
        image: uint8 [H, W, 3].
        probability: float32 [H, W] in [0, 1]. From .5 on it is target at the start.
        iterations: of models and cut in turn.
        background: what is no more probable is background for sure.
        foreground: what is at least as probable is target for sure.

    Returns:
        float32 [H, W] of 0 and 1, so that all levels of it are the same. Where the map is target everywhere or
        nowhere, there is nothing to cut and that is the result.
    """
    target = probability >= 0.5
    labels = np.where(target, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[probability <= background] = cv2.GC_BGD
    labels[probability >= foreground] = cv2.GC_FGD
    if iterations and target.any() and not target.all():
        cv2.setRNGSeed(0)  # of the clustering that starts the colour models
        bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        models = np.zeros((1, 65)), np.zeros((1, 65))
        cv2.grabCut(bgr, labels, (0, 0, 0, 0), *models, iterations, cv2.GC_INIT_WITH_MASK)
    return np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.float32)
