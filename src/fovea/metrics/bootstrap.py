"""How far a mean could have come out otherwise, had other patients been seen."""

from collections.abc import Sequence

import numpy as np


def mean_interval(values: Sequence[float], groups: Sequence[str], resamples: int, seed: int) -> list[float] | None:
    """The 95 % percentile interval of a mean, by resampling groups with replacement, each with all its values.

    Images of one patient are alike; drawn one by one they would pass for more evidence than they are. The mean is that
    over the values of the drawn groups. Efron, "Bootstrap Methods: Another Look at the Jackknife", 1979; by groups:
    Field and Welsh, "Bootstrapping Clustered Data", 2007.

    Args:
        values: One score an image.
        groups: The patient of each.
        resamples: How often to draw.
        seed: Seed of the draws.

    Returns:
        Low and high end; None without resamples, or with fewer than two groups, which tell nothing of others.
    """
    _, group = np.unique(np.asarray(groups), return_inverse=True)
    counts = np.bincount(group)
    if resamples < 1 or len(counts) < 2:
        return None
    sums = np.bincount(group, weights=values)
    rng = np.random.default_rng(seed)
    draws = (rng.integers(len(counts), size=len(counts)) for _ in range(resamples))
    means = [sums[draw].sum() / counts[draw].sum() for draw in draws]
    return [float(end) for end in np.percentile(means, [2.5, 97.5])]
