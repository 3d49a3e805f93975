"""How sure a mean over images is, and whether a difference between two of them is one."""

from collections.abc import Sequence

import numpy as np

CONFIDENCE = 0.95
_BATCH = 1000  # resamples that are in memory at once


def interval(values: np.ndarray, resamples: int, seed: int) -> tuple[float, float]:
    """The 95 % interval of a mean by the percentile bootstrap (Efron 1979), images drawn with replacement.

    Of differences it is the paired bootstrap: an image brings its two scores along. Values of one length and one
    seed are resampled alike.

    Args:
        values: float [N], a number for each image; N is at least 2.
        resamples: Number of means that are drawn.
        seed: Of the draw.

    Returns:
        Its lower and its upper end.
    """
    from scipy.stats import bootstrap  # it takes seconds to import, so after the input has been read

    found = bootstrap(
        (values,),
        np.mean,
        n_resamples=resamples,
        batch=_BATCH,
        confidence_level=CONFIDENCE,
        method="percentile",
        random_state=np.random.default_rng(seed),
    ).confidence_interval
    return float(found.low), float(found.high)


def sign_flip_test(differences: np.ndarray, resamples: int, seed: int) -> float:
    """Two-sided p value of the mean of paired differences, by the sign-flip permutation test (Fisher 1935).

    If two models were alike, each image's two scores could change places, and so its difference its sign. The test
    asks how many of these flips give a mean as far from 0; where there are no more than `resamples`, it takes all.
    It is preferred to Wilcoxon's signed-rank test, which compares ranks and may call the model with the lower mean
    the better one; this one tests the figure that a table shows, and needs no rule for ties or differences of 0,
    of which scores of 0 and 1 have many.

    Args:
        differences: float [N], a difference for each image; N is at least 2.
        resamples: Number of flips that are drawn; no p value is below 2 / (resamples + 1).
        seed: Of the draw.
    """
    from scipy.stats import permutation_test  # as above

    found = permutation_test(
        (differences,),
        np.mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=resamples,
        batch=_BATCH,
        random_state=np.random.default_rng(seed),
    )
    return float(found.pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """P values corrected for their number (Holm 1979): below alpha, all together are wrong with that chance at most.

    The k-th smallest of m is multiplied by m - k + 1, and made no smaller than the one before it.

    Args:
        p_values: One for each comparison.

    Returns:
        The corrected ones in the same order, each at most 1.
    """
    corrected = [1.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda each: p_values[each])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected
