"""Time the heatmap, a product of small matrices, against SciPy's Gaussian filter over the whole canvas."""

import platform
import time
from collections.abc import Callable

import numpy as np
from scipy.ndimage import gaussian_filter

from fovea import heatmap

CANVAS, SIGMA, FIXATIONS = 768, 70.0, 30


def plain(x: np.ndarray, y: np.ndarray, duration: np.ndarray) -> np.ndarray:
    """Compute the published way: durations on the canvas, filtered, scaled to [0, 1]."""
    canvas = np.zeros((CANVAS, CANVAS))
    columns, rows = (np.clip(np.rint(CANVAS * values).astype(int) - 1, 0, CANVAS - 1) for values in (x, y))
    np.add.at(canvas, (rows, columns), duration)
    heat = gaussian_filter(canvas, SIGMA)
    return (heat - heat.min()) / (heat.max() - heat.min())


def seconds(function: Callable[..., object], *arguments: object, repeats: int) -> float:
    """Return the median time of a call."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        function(*arguments)
        times.append(time.perf_counter() - started)
    return sorted(times)[repeats // 2]


def main() -> None:
    """Print both times, their ratio and the largest difference."""
    rng = np.random.default_rng(0)
    x, y = rng.random((2, FIXATIONS))
    duration = rng.uniform(100, 600, FIXATIONS)
    size = (CANVAS, CANVAS)  # of the canvas, so that neither resizes
    difference = np.abs(heatmap(x, y, duration, size, CANVAS, SIGMA) - plain(x, y, duration)).max()
    slow = seconds(plain, x, y, duration, repeats=5)
    fast = seconds(heatmap, x, y, duration, size, CANVAS, SIGMA, repeats=50)
    print(f"{platform.machine()}, {CANVAS} x {CANVAS}, sigma {SIGMA:.0f}, {FIXATIONS} fixations")
    print(f"SciPy {slow * 1e3:.1f} ms, ours {fast * 1e3:.2f} ms: {slow / fast:.0f} times faster")
    print(f"largest difference {difference:.1e}")


if __name__ == "__main__":
    main()
