"""Time boundary distances from a tree of pixels against distance transforms and MONAI."""

import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from _machine import machine, start
from monai.metrics import compute_hausdorff_distance, compute_surface_dice
from scipy.ndimage import binary_erosion, distance_transform_edt, gaussian_filter

from fovea.data.images.files import image_files
from fovea.data.images.masks import read_mask
from fovea.data.images.synthetic import draw
from fovea.metrics.surface import surface_scores

TOLERANCE = 2.0


def transforms(prediction: np.ndarray, truth: np.ndarray) -> list[float]:
    """Compute the scores from two distance transforms, cropped to the box of both masks."""
    rows, columns = (np.flatnonzero((prediction | truth).any(axis=axis)) for axis in (1, 0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    ours, theirs = (mask[box] & ~binary_erosion(mask[box]) for mask in (prediction, truth))
    there, back = distance_transform_edt(~theirs)[ours], distance_transform_edt(~ours)[theirs]
    within = (there <= TOLERANCE).sum() + (back <= TOLERANCE).sum()
    return [max(np.percentile(there, 95), np.percentile(back, 95)), within / (len(there) + len(back))]


def monai(prediction: np.ndarray, truth: np.ndarray) -> list[float]:
    """Compute the scores by MONAI."""
    pair = [torch.from_numpy(mask)[None, None].float() for mask in (prediction, truth)]
    surface = compute_surface_dice(*pair, [TOLERANCE], include_background=True)
    return [compute_hausdorff_distance(*pair, percentile=95).item(), surface.item()]


def tree(prediction: np.ndarray, truth: np.ndarray) -> list[float]:
    """Compute the scores by fovea."""
    return list(surface_scores(prediction, truth, (1.0, 1.0), TOLERANCE).values())


def pairs(truths: list[np.ndarray], noise: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pair each mask with a shifted and smoothed copy; `noise` makes the copy patchy."""
    rng, result = np.random.default_rng(0), []
    for truth in truths:
        smooth = gaussian_filter(np.roll(truth, (9, -14), (0, 1)).astype(float), 6)
        patches = gaussian_filter(rng.normal(size=truth.shape), 3)
        result.append((smooth + noise * patches / patches.std() > 0.5, truth))
    return result


def main(folder: str | None = None) -> None:
    """Print a row for each method, on the masks of a folder or generated ones of Kvasir-SEG's size."""
    rng = np.random.default_rng(0)
    if folder is None:
        truths = [draw(rng, 576)[1] > 0 for _ in range(8)]
    else:
        truths = [read_mask(path, 1) > 0 for path in list(image_files(Path(folder)).values())[:50]]
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", category=FutureWarning, module="monai")
    print(f"{machine()}; means over {len(truths)} pairs of masks")
    ways: list[Callable[[np.ndarray, np.ndarray], list[float]]] = [tree, transforms, monai]
    for border, noise in {"smooth": 0.0, "patchy": 0.25}.items():
        masks = pairs(truths, noise)
        for way in ways:
            way(*masks[0])
            started = time.process_time()
            scores = [way(*pair) for pair in masks]
            milliseconds = (time.process_time() - started) / len(masks) * 1e3
            off = np.abs(np.array(scores) - [tree(*pair) for pair in masks]).max()
            print(f"{border:<7} {way.__name__:<11} {milliseconds:6.1f} ms of a core, at most {off:.1e} from ours")


if __name__ == "__main__":
    start(lambda: main(*sys.argv[1:2]))
