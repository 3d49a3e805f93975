"""Calibration of probabilities: whether 8 of 10 pixels with a probability of 0.8 are foreground."""

import numpy as np

from fovea.losses import IGNORE


class CalibrationError:
    """The expected calibration error over all pixels, summed up image by image.

    The probabilities fall into `bins` of equal width. The error is the mean over all pixels of the distance between the
    mean probability of a bin and the share of its pixels that are correct. For one class it uses the probability of
    the foreground, for several that of the most probable class.

    Naeini et al., "Obtaining Well Calibrated Probabilities Using Bayesian Binning", AAAI 2015. torchmetrics has the
    same measure, but keeps the probability of every pixel until the end.
    """

    def __init__(self, bins: int) -> None:
        self.sums = np.zeros((3, bins))  # pixels, their probabilities, how many are correct

    def update(self, probability: np.ndarray, target: np.ndarray) -> None:
        """Add an image: probabilities [K, *size] in [0, 1] and labels [*size], of which -1 is left out.

        K = 1 is the probability of the foreground, every label but 0; K > 1 sum to 1 over classes.
        """
        labeled = target != IGNORE
        probability, target = probability[:, labeled], target[labeled]
        if len(probability) == 1:
            confidence, correct = probability[0], target != 0
        else:
            confidence, correct = probability.max(axis=0), probability.argmax(axis=0) == target
        bins = self.sums.shape[1]
        # NaN has no bin: it goes into the first one and makes the sum NaN. A probability of 1 belongs to the last bin.
        finite = np.nan_to_num(confidence, nan=0.0, posinf=1.0, neginf=0.0)
        place = np.clip(finite * bins, 0, bins - 1).astype(np.intp)
        self.sums += [np.bincount(place, weights=weights, minlength=bins) for weights in (None, confidence, correct)]

    def compute(self) -> float | None:
        """Return the error in [0, 1]; None without a pixel, or if a probability was not finite."""
        pixels, confidence, correct = self.sums
        error = np.abs(confidence - correct).sum() / pixels.sum() if pixels.any() else np.nan
        return float(error) if np.isfinite(error) else None
