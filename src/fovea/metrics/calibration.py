"""Whether a probability of 0.8 comes true in 8 of 10 pixels."""

import numpy as np


class CalibrationError:
    """Expected calibration error of pixels, summed up image by image.

    The probabilities are sorted into bins of equal width; the error is the mean over all pixels of the distance
    between their bin's mean probability and the share of its pixels where it came true. For one class it is the
    probability of the foreground, for more that of the likeliest class. All pixels of all images count alike.

    Naeini et al., "Obtaining Well Calibrated Probabilities Using Bayesian Binning", AAAI 2015. torchmetrics has the
    same measure, but keeps the probability of every pixel until the end.

    Args:
        bins: Their number.
    """

    def __init__(self, bins: int) -> None:
        self.sums = np.zeros((3, bins))  # pixels, their probabilities, how many came true

    def update(self, probability: np.ndarray, target: np.ndarray) -> None:
        """Add an image.

        Args:
            probability: [K, H, W] in [0, 1]; K = 1 is the foreground's, K > 1 sum to 1 over classes.
            target: Labels [H, W]; for K = 1 what is not 0 is foreground.
        """
        if len(probability) == 1:
            said, true = probability[0], target != 0
        else:
            said, true = probability.max(axis=0), probability.argmax(axis=0) == target
        bins = self.sums.shape[1]
        # What is not a number has no bin: it goes into the first or last, whose sum it spoils. 1 belongs to the last.
        finite = np.nan_to_num(said, nan=0.0, posinf=1.0, neginf=0.0)
        place = np.clip(finite * bins, 0, bins - 1).astype(np.intp).ravel()
        self.sums += [
            np.bincount(place, weights=weights, minlength=bins) for weights in (None, said.ravel(), true.ravel())
        ]

    def compute(self) -> float | None:
        """The error in [0, 1]; None without an image, or where a probability was not a number."""
        pixels, said, true = self.sums
        error = np.abs(said - true).sum() / pixels.sum() if pixels.any() else np.nan
        return float(error) if np.isfinite(error) else None
