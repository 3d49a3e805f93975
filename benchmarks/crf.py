"""Time the dense CRF of `refine=lattice` against pydensecrf2 on one core, and compare the results.

    python benchmarks/crf.py [FOLDER_OF_IMAGES] [--images N] [--out FILE.csv]

Uses generated images without a folder. Times ours alone without pydensecrf2 (`make crf`). Where there is a GPU, times
`refine=torch` on it too, in seconds of the clock.
"""

import argparse
import csv
import os
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from _machine import processor, start

from fovea import heatmap, refine
from fovea.data.images.files import read_image
from fovea.data.images.synthetic import draw

SETTINGS = {"compat 1": (1.0, 3), "compat 3": (3.0, 3), "gray, compat 1": (1.0, 1)}
"""Weight of the bilateral term, and channels."""


def main() -> None:
    """Print a row for each setting, and write the table to `--out`."""
    arguments = parsed(__doc__)
    refine(np.zeros((1, 1, 3), np.uint8), np.zeros((1, 1), np.float32))  # compiles on the first use
    oracle = find_spec("pydensecrf") is not None
    if not oracle:
        print("pydensecrf2 is not installed (make crf): no comparison")
    images = list(pictures(arguments.folder, arguments.images))
    rows = [
        row(name, compat, [image[..., :channels] for image in images], oracle)
        for name, (compat, channels) in SETTINGS.items()
    ]
    if torch.cuda.is_available():
        print(f"torch on {torch.cuda.get_device_name()}")
    print(
        f"one core of {os.cpu_count()}, {processor()}; medians over {len(images)} images, first {images[0].shape[:2]}"
    )
    for line in rows:
        print(", ".join(f"{key} {value}" for key, value in line.items()))
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        with arguments.out.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["machine", *rows[0]])
            writer.writeheader()
            writer.writerows({"machine": f"one core, {processor()}", **line} for line in rows)


def parsed(description: str) -> argparse.Namespace:
    """Return the arguments of a benchmark on images."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, help="images to use, evenly over the sorted names")
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--out", type=Path, help="CSV for the table")
    return parser.parse_args()


def row(name: str, compat: float, images: list[np.ndarray], oracle: bool) -> dict[str, str]:
    """Return the medians of times and ratios over the images, and the largest differences."""
    figures = np.array([compare(image, compat, oracle) for image in images])
    theirs, ten, early, off, off_early = figures.T
    line = {
        "setting": name,
        "images": str(len(images)),
        "lattice_10_steps_ms": f"{np.median(ten) * 1e3:.1f}",
        "lattice_ms": f"{np.median(early) * 1e3:.1f}",
    }
    if oracle:
        line |= {
            "pydensecrf2_ms": f"{np.median(theirs) * 1e3:.1f}",
            "ratio_10_steps": f"{np.median(theirs / ten):.2f}",
            "ratio": f"{np.median(theirs / early):.2f}",
            "ratio_least": f"{np.min(theirs / early):.2f}",
            "difference_10_steps": f"{off.max():.1e}",
        }
    if torch.cuda.is_available():
        ten_gpu, early_gpu, off_gpu = np.array([compare_gpu(image, compat) for image in images]).T
        line |= {
            "torch_10_steps_ms": f"{np.median(ten_gpu) * 1e3:.1f}",
            "torch_ms": f"{np.median(early_gpu) * 1e3:.1f}",
            "torch_ratio": f"{np.median(early / early_gpu):.2f}",
            "torch_difference_10_steps": f"{off_gpu.max():.1e}",
        }
    return line | {"difference": f"{off_early.max():.1e}"}


def compare(image: np.ndarray, compat: float, oracle: bool) -> tuple[float, ...]:
    """Return the seconds of pydensecrf2, of ours with ten steps and with the tolerance, and two differences."""
    target = gaze_on(image)
    ten_seconds, ten = seconds(lambda: refine(image, target, compat, tolerance=0.0), 5)
    early_seconds, early = seconds(lambda: refine(image, target, compat), 5)
    if not oracle:
        return np.nan, ten_seconds, early_seconds, np.nan, float(np.abs(early - ten).max())
    their_seconds, theirs = seconds(lambda: refine(image, target, compat, backend="pydensecrf"), 3)
    differences = (float(np.abs(ours - theirs).max()) for ours in (ten, early))
    return their_seconds, ten_seconds, early_seconds, *differences


def compare_gpu(image: np.ndarray, compat: float) -> tuple[float, ...]:
    """Return the seconds of torch with ten steps and with the tolerance, and the difference of ten steps to ours."""
    target = gaze_on(image)
    forms = [{"tolerance": 0.0}, {}]
    runs = [
        seconds(lambda form=form: refine(image, target, compat, backend="torch", **form), 5, time.perf_counter)
        for form in forms
    ]
    (ten_seconds, ten), (early_seconds, _) = runs
    return ten_seconds, early_seconds, float(np.abs(ten - refine(image, target, compat, tolerance=0.0)).max())


def gaze_on(image: np.ndarray) -> np.ndarray:
    """Return the heatmap of 20 fixations around the center of an image."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(0.5, 0.1, (2, 20)).clip(0, 1)
    return heatmap(x, y, rng.uniform(100, 600, 20), image.shape[:2])


def seconds(
    run: Callable[[], np.ndarray], repeats: int, clock: Callable[[], float] = time.process_time
) -> tuple[float, np.ndarray]:
    """Return the minimum time of a call, and its result. Other work hardly disturbs the processor time."""
    times = []
    for _ in range(repeats):
        started = clock()
        result = run()
        times.append(clock() - started)
    return min(times), result


def pictures(folder: Path | None, count: int) -> Iterator[np.ndarray]:
    """Yield uint8 [H, W, 3] images of a folder, or generated ones of the size of Kvasir-SEG's."""
    if folder is None:
        yield from (draw(np.random.default_rng(number), 576)[0] for number in range(count))
        return
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in {".jpg", ".jpeg", ".png"})
    if not paths:
        sys.exit(f"{folder}: no JPEG or PNG in this folder")
    yield from (read_image(path) for path in paths[:: max(1, len(paths) // count)][:count])


if __name__ == "__main__":
    start(main)
