"""Confidence intervals of means over images, and a test of paired differences, both by patient.

Images of one patient resemble each other. Drawn one by one they would count as too much evidence, so every resample
takes or flips all images of a patient together.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike

_BATCH = 1_000_000  # random numbers in memory at once


def mean_interval(values: ArrayLike, patients: Sequence[str], resamples: int, seed: int) -> tuple[float, float] | None:
    """Return the 95 % percentile bootstrap interval of a mean over images (Efron 1979), drawing patients.

    The mean is that over all images of the drawn patients (Field and Welsh, "Bootstrapping Clustered Data", 2007). Of
    differences it is the paired bootstrap. `values` and `patients` have an entry for each image. None without resamples
    or with fewer than two patients.
    """
    sums, counts = _by_patient(values, patients)
    if resamples < 1 or len(counts) < 2:
        return None
    rng = np.random.default_rng(seed)
    means: list[float] = []
    for size in _batches(resamples, len(counts)):
        draws = rng.integers(len(counts), size=(size, len(counts)))
        means += (sums[draws].sum(axis=1) / counts[draws].sum(axis=1)).tolist()
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def sign_flip_test(differences: ArrayLike, patients: Sequence[str], resamples: int, seed: int) -> float:
    """Return the two-sided p value of the mean of paired differences by a sign-flip permutation test (Fisher 1935).

    If two models were equal, all scores of a patient could change places between them. The test counts how many such
    flips give a mean at least as far from 0. With no more than `resamples` possible flips it takes all of them.
    Wilcoxon's signed-rank test compares ranks and can prefer the model with the lower mean; this test is about the
    mean in the table and needs no rule for ties.

    `differences` and `patients` have an entry for each image. No p value is below `least_p`.
    """
    sums, _ = _by_patient(differences, patients)
    least = abs(sums.sum()) - 1e-9 * np.abs(sums).sum()  # sums of equal terms differ in the last bits
    if 2 ** len(sums) <= resamples:
        flips = (np.arange(2 ** len(sums))[:, None] >> np.arange(len(sums))) % 2
        return float((np.abs((1 - 2 * flips) @ sums) >= least).mean())
    rng = np.random.default_rng(seed)
    far = 0
    for size in _batches(resamples, len(sums)):
        signs = 1 - 2 * rng.integers(2, size=(size, len(sums)))
        far += int((np.abs(signs @ sums) >= least).sum())
    return (far + 1) / (resamples + 1)


def least_p(patients: int, resamples: int) -> float:
    """Return the smallest p value of `sign_flip_test`: all flips have two as far from 0 as the differences."""
    return 2 / 2**patients if 2**patients <= resamples else 1 / (resamples + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p values for their number (Holm 1979), so that alpha bounds the chance of any wrong rejection.

    The k-th smallest of m is multiplied by m - k + 1 and made no smaller than the one before it, and at most 1.
    """
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(np.maximum.accumulate(factors * np.asarray(p_values, float)[order]), 1)
    return [*map(float, corrected)]


def _by_patient(values: ArrayLike, patients: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the sum of the values and the number of images of each patient."""
    _, place = np.unique(np.asarray(patients), return_inverse=True)
    return np.bincount(place, weights=values), np.bincount(place)


def _batches(resamples: int, width: int) -> Iterator[int]:
    """Split a number of resamples so that a batch of them, each `width` numbers, fits into memory."""
    size = max(1, _BATCH // width)
    for start in range(0, resamples, size):
        yield min(size, resamples - start)
