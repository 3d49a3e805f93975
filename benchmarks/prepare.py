"""The whole prepare stage, files to files, against the plain published route.

    python benchmarks/prepare.py [DATA_ROOT FIXATIONS] [--images N] [--out FILE.csv]

The plain route is one loop: decode, SciPy's Gaussian filter on the canvas, resize, ten steps of pydensecrf2, a 16-bit
PNG as OpenCV writes it. Without a data root, on generated images. Needs pydensecrf2 (`make crf`).
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
from _machine import machine
from scipy.ndimage import gaussian_filter

from fovea.data.folder import Folder
from fovea.data.synthetic import Synthetic
from fovea.gaze.crf import refine
from fovea.gaze.fixations import Fixations, read_fixations
from fovea.gaze.simulate import Observer, simulate_folder
from fovea.gaze.stage import Parameters, prepare

CANVAS, SIGMA = 768, 70.0


class Part(Folder):
    """The first images of a folder."""

    def __init__(self, root: Path, count: int) -> None:
        super().__init__(root)
        names = list(self._images)
        self.__dict__["_images"] = {name: self._images[name] for name in names[:: max(1, len(names) // count)][:count]}


def plain(dataset: Folder, fixations: Path, out: Path) -> None:
    """The published route; maps only, no manifest."""
    out.mkdir(parents=True)
    table = read_fixations(fixations, dataset.ids)
    for image_id in dataset.ids:
        image = cv2.cvtColor(cv2.imread(str(dataset.image_path(image_id))), cv2.COLOR_BGR2RGB)
        heat = cv2.resize(blurred(table.of(image_id)), image.shape[1::-1], interpolation=cv2.INTER_CUBIC).clip(0, 1)
        refined = refine(image, heat, backend="pydensecrf")
        cv2.imwrite(str(out / f"{image_id}.png"), np.rint(refined * 65535).astype(np.uint16))


def blurred(look: Fixations) -> np.ndarray:
    """The heatmap on the canvas."""
    canvas = np.zeros((CANVAS, CANVAS))
    columns, rows = (np.clip(np.rint(CANVAS * values).astype(int) - 1, 0, CANVAS - 1) for values in (look.x, look.y))
    np.add.at(canvas, (rows, columns), look.duration)
    heat = gaussian_filter(canvas, SIGMA)
    return ((heat - heat.min()) / (heat.max() - heat.min())).astype(np.float32)


def routes(dataset: Folder, fixations: Path, folder: Path, compare: bool) -> Iterator[tuple[str, float]]:
    """Seconds of each way to make all maps."""

    def ours(name: str, workers: int) -> None:
        prepare(dataset, fixations, folder / name, Parameters(), workers=workers)

    runs = {"plain route, 1 process": lambda: plain(dataset, fixations, folder / "plain")} if compare else {}
    runs |= {
        "fovea, 1 worker": lambda: ours("one", 1),
        "fovea, 2 workers": lambda: ours("two", 2),
        "fovea, again over a finished store": lambda: ours("one", 1),
    }
    for name, run in runs.items():
        started = time.perf_counter()
        run()
        yield name, time.perf_counter() - started


def main() -> None:
    """Print a table of seconds and ratios, and write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", nargs="?", type=Path)
    parser.add_argument("fixations", nargs="?", type=Path)
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--out", type=Path, help="CSV for the table")
    arguments = parser.parse_args()
    compare = find_spec("pydensecrf") is not None
    if not compare:
        print("pydensecrf2 is not installed (make crf): no comparison, ours alone")
    cv2.setNumThreads(1)
    refine(np.zeros((1, 1, 3), np.uint8), np.zeros((1, 1), np.float32))  # compiles, once on a machine
    folder = Path(tempfile.mkdtemp())
    try:
        dataset, fixations = given(arguments, folder)
        seconds = dict(routes(dataset, fixations, folder, compare))
    finally:
        shutil.rmtree(folder)
    count, slow = len(dataset.ids), seconds.get("plain route, 1 process", float("nan"))
    header = ["machine", "route", "images", "seconds", "images_per_second", "times_the_plain_route"]
    rows = [[machine(), name, count, f"{s:.1f}", f"{count / s:.2f}", f"{slow / s:.2f}"] for name, s in seconds.items()]
    for line in [header, *rows]:
        print(", ".join(map(str, line)))
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        with arguments.out.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([header, *rows])


def given(arguments: argparse.Namespace, folder: Path) -> tuple[Folder, Path]:
    """The images and fixations named on the command line, or generated ones of the size of Kvasir-SEG's."""
    if arguments.root is not None:
        if arguments.fixations is None:
            sys.exit("name the fixation CSV after the data root")
        return Part(arguments.root, arguments.images), arguments.fixations
    dataset = Synthetic(folder / "images", images=arguments.images, image_size=576)
    simulate_folder(dataset, folder / "fixations.csv", Observer())
    return dataset, folder / "fixations.csv"


if __name__ == "__main__":
    main()
