"""Time the whole prepare stage, from files to files, against the plain published way.

    python benchmarks/prepare.py [DATA_ROOT FIXATIONS] [--images N] [--plain N] [--out FILE.csv]

The plain way is one loop: decode, SciPy's Gaussian filter on the canvas, resize, ten steps of pydensecrf2, a 16-bit PNG
as OpenCV writes it. Uses generated images without a data root. Times ours alone without pydensecrf2 (`make crf`).
"""

import argparse
import csv
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from _machine import machine, start
from scipy.ndimage import gaussian_filter

from fovea import refine
from fovea.data.fixations import Fixations, read_fixations
from fovea.data.images.folder import Folder
from fovea.data.images.synthetic import Synthetic
from fovea.prepare.labels.gaze import Gaze
from fovea.prepare.refiners.densecrf.lattice import DenseCrf
from fovea.prepare.stage import prepare
from fovea.simulate.folder import simulate_folder
from fovea.simulate.gaze import Observer

CANVAS, SIGMA = 768, 70.0


def some(names: list[str], count: int) -> list[str]:
    """Return at most `count` names, evenly over all of them."""
    return names[:: max(1, len(names) // count)][:count]


class Part(Folder):
    """A folder of which some images are used."""

    def __init__(self, root: Path, count: int) -> None:
        super().__init__(root)
        self.__dict__["_images"] = {name: self._images[name] for name in some(list(self._images), count)}


def plain(dataset: Folder, fixations: Path, out: Path, count: int) -> None:
    """Make the maps of some images the published way, without a manifest."""
    out.mkdir(parents=True)
    table = read_fixations(fixations, dataset.ids)
    for image_id in some(dataset.ids, count):
        image = cv2.cvtColor(cv2.imread(str(dataset.image_path(image_id))), cv2.COLOR_BGR2RGB)
        heat = cv2.resize(blurred(table.of(image_id)), image.shape[1::-1], interpolation=cv2.INTER_CUBIC).clip(0, 1)
        refined = refine(image, heat, backend="pydensecrf")
        cv2.imwrite(str(out / f"{image_id}.png"), np.rint(refined * 65535).astype(np.uint16))


def blurred(gaze: Fixations) -> np.ndarray:
    """Draw the heatmap on the canvas."""
    canvas = np.zeros((CANVAS, CANVAS))
    columns, rows = (np.clip(np.rint(CANVAS * values).astype(int) - 1, 0, CANVAS - 1) for values in (gaze.x, gaze.y))
    np.add.at(canvas, (rows, columns), gaze.duration)
    heat = gaussian_filter(canvas, SIGMA)
    return ((heat - heat.min()) / (heat.max() - heat.min())).astype(np.float32)


def routes(dataset: Folder, fixations: Path, folder: Path, slow: int) -> Iterator[tuple[str, int, float]]:
    """Yield name, number of images and seconds of each way to make maps."""
    count = len(dataset.ids)

    def ours(name: str, workers: int) -> None:
        label = Gaze(str(fixations), SIGMA, CANVAS, min_duration=50.0, dose=1.0)
        crf = DenseCrf(compat=1.0, sxy=80.0, srgb=13.0, iterations=10, tolerance=1e-3)
        prepare(dataset, label, crf, folder / name, {}, workers=workers)

    runs = [("plain way", min(slow, count), lambda: plain(dataset, fixations, folder / "plain", slow))] * (slow > 0)
    runs += [
        ("fovea, 1 worker", count, lambda: ours("one", 1)),
        ("fovea, 2 workers", count, lambda: ours("two", 2)),
        ("fovea, over a finished store", count, lambda: ours("one", 1)),
    ]
    for name, images, run in runs:
        started = time.perf_counter()
        run()
        yield name, images, time.perf_counter() - started


def main() -> None:
    """Print seconds and ratios, and write the table to `--out`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", nargs="?", type=Path)
    parser.add_argument("fixations", nargs="?", type=Path)
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--plain", type=int, default=60, help="images of the plain way, which is slow")
    parser.add_argument("--out", type=Path, help="CSV for the table")
    arguments = parser.parse_args()
    compare = find_spec("pydensecrf") is not None
    if not compare:
        print("pydensecrf2 is not installed (make crf): no comparison")
    cv2.setNumThreads(1)
    refine(np.zeros((1, 1, 3), np.uint8), np.zeros((1, 1), np.float32))  # compiles on the first use
    folder = Path(tempfile.mkdtemp())
    try:
        dataset, fixations = images(arguments, folder)
        timed = list(routes(dataset, fixations, folder, arguments.plain if compare else 0))
    finally:
        shutil.rmtree(folder)
    _, count, seconds = timed[0]
    header = [
        "machine",
        "route",
        "images",
        "seconds",
        "images_per_second",
        f"times_the_{timed[0][0].replace(' ', '_')}",
    ]
    rows = [
        [machine(), name, images, f"{s:.1f}", f"{images / s:.2f}", f"{images / s / (count / seconds):.2f}"]
        for name, images, s in timed
    ]
    for line in [header, *rows]:
        print(", ".join(map(str, line)))
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        with arguments.out.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([header, *rows])


def images(arguments: argparse.Namespace, folder: Path) -> tuple[Folder, Path]:
    """Return the images and fixations of the command line, or generated ones of the size of Kvasir-SEG's."""
    if arguments.root is not None:
        if arguments.fixations is None:
            sys.exit("name the fixation CSV after the data root")
        return Part(arguments.root, arguments.images), arguments.fixations
    dataset = Synthetic(folder / "images", images=arguments.images, image_size=576)
    observer = Observer(0.026, 0.02, fixations=30, scan=2, reach=0.9, duration=250, duration_sd=77, shortest=60)
    simulate_folder(dataset, folder / "fixations.csv", observer)
    return dataset, folder / "fixations.csv"


if __name__ == "__main__":
    start(main)
