"""Figures of predicted structures against a naive count."""

from itertools import product

import numpy as np
import pytest

from fovea.metrics.structures import structures


def naive_largest(inside: np.ndarray) -> int:
    """Flood each component; pixels touch by sides or corners."""
    left, largest = {tuple(place) for place in np.argwhere(inside).tolist()}, 0
    while left:
        waiting, count = [left.pop()], 1
        while waiting:
            place = waiting.pop()
            for step in product((-1, 0, 1), repeat=inside.ndim):
                near = tuple(a + b for a, b in zip(place, step, strict=True))
                if near in left:
                    left.remove(near)
                    waiting.append(near)
                    count += 1
        largest = max(largest, count)
    return largest


@pytest.mark.parametrize("shape", [(13, 17), (5, 7, 6)])
@pytest.mark.parametrize("channels", [1, 4])
def test_as_counted_pixel_by_pixel(shape: tuple[int, ...], channels: int) -> None:
    rng = np.random.default_rng(0)
    probability = rng.random((channels, *shape)).astype(np.float32)
    labels = (probability[0] > 0.9) if channels == 1 else probability.argmax(0) * (rng.random(shape) < 0.3)
    labels[labels == 2] = 0
    found = structures(labels, probability, 0.3)
    assert len(found) == max(channels - 1, 1)
    for label, each in enumerate(found, start=1):
        inside = labels == label
        if not inside.any():
            assert label == 2 and each == (0, 0.0, None, None)
            continue
        values = [float(probability[label if channels > 1 else 0][tuple(place)]) for place in np.argwhere(inside)]
        assert each.pixels == len(values)
        assert each.size == pytest.approx(0.3 * len(values))
        assert each.largest == pytest.approx(naive_largest(inside) / len(values))
        assert each.probability == pytest.approx(sum(values) / len(values))
    assert structures(labels, probability, None)[0].size is None
