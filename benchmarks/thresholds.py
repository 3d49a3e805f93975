"""Compare rules that choose a threshold from maps and images alone with the best threshold by masks.

    python benchmarks/thresholds.py DATA_ROOT STORE

Prints the threshold of each rule, one for all maps, and the mean Dice of the maps there. The rules: `otsu`, the median
of Otsu's threshold of each map; `expected`, the highest expected Dice if the map were the probability of the structure;
`edges`, the highest mean gradient of the image along the contour. None is good everywhere, see docs/quality.md.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from _machine import start
from tqdm import tqdm

from fovea.data.images.folder import Folder
from fovea.data.store import Store
from fovea.metrics.thresholds import GRID, dice_at, quantized

BINS = 64  # of the histogram of a map
CHOICE = slice(4, 45)  # thresholds from 0.1 to 0.9
BLUR = 0.005  # of the image before its gradient: standard deviation as a share of the longer side


def main() -> None:
    """Print a row for each rule."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", nargs="?", type=Path, help="folder with images/ and masks/")
    parser.add_argument("store", nargs="?", type=Path, help="store of their maps")
    given = parser.parse_args()
    if given.store is None:
        print("needs a data root with masks and a store of maps")
        return
    data, store = Folder(given.root), Store(given.store)
    found = [measure(data, store, name) for name in tqdm(sorted(store.manifest["images"])) if data.mask(name).any()]
    dice, expected, edges = (np.mean([row[part] for row in found], axis=0) for part in range(3))
    chosen = {
        "best by masks": GRID[int(dice.argmax())],
        "otsu": float(np.median([row[3] for row in found])),
        "expected": GRID[CHOICE][int(expected[CHOICE].argmax())],
        "edges": GRID[CHOICE][int(edges[CHOICE].argmax())],
        "fixed 0.5": 0.5,
        "fixed 0.3": 0.3,
    }
    for rule, threshold in chosen.items():
        print(f"{rule:14} {threshold:.2f}  {np.interp(threshold, GRID, dice):.3f}  ({len(found)} maps)")


def measure(data: Folder, store: Store, name: str) -> tuple[np.ndarray, Sequence[float], Sequence[float], float]:
    """Return Dice, expected Dice and gradient along the contour at each threshold of the grid, and Otsu's threshold."""
    refined = store.read(name)
    gray = cv2.cvtColor(data.image(name), cv2.COLOR_RGB2LAB).astype(np.float32)
    gray = cv2.GaussianBlur(gray, (0, 0), BLUR * max(refined.shape))
    slopes = cv2.Sobel(gray, cv2.CV_32F, 1, 0) ** 2 + cv2.Sobel(gray, cv2.CV_32F, 0, 1) ** 2
    gradient = np.sqrt(slopes.sum(axis=2))
    expected, edges, total = [], [], float(refined.sum())
    for threshold in GRID:
        level = refined >= threshold
        contour = level & ~cv2.erode(level.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
        expected.append(2 * float(refined[level].sum()) / max(np.count_nonzero(level) + total, 1e-9))
        edges.append(float(gradient[contour].mean()) if contour.any() else 0.0)
    bins = (refined * BINS).clip(0, BINS - 1).astype(np.uint8)
    found = (cv2.threshold(bins, 0, 255, cv2.THRESH_OTSU)[0] + 1) / BINS
    return dice_at(quantized(refined), data.mask(name), GRID), expected, edges, found


if __name__ == "__main__":
    start(main)
