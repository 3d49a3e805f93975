"""The PNG encodings of a map that OpenCV offers: processor time and bytes, on generated images of Kvasir-SEG's size."""

import time

import cv2
import numpy as np
from _machine import machine

from fovea.data.images.synthetic import draw
from fovea.prepare.labels.heatmap import heatmap
from fovea.prepare.refiners.densecrf.refine import refine

STRATEGIES = {name: getattr(cv2, f"IMWRITE_PNG_STRATEGY_{name}") for name in ("DEFAULT", "HUFFMAN_ONLY", "RLE")}
FILTERS = {
    "OpenCV's default": (),
    **{f: (cv2.IMWRITE_PNG_FILTER, getattr(cv2, f"IMWRITE_PNG_FILTER_{f}")) for f in ("SUB", "UP", "PAETH")},
}


def maps(count: int) -> list[np.ndarray]:
    """uint16 maps as the stage makes them."""
    rng = np.random.default_rng(0)
    made = []
    for _ in range(count):
        image, _ = draw(rng, 576)
        x, y = rng.normal(0.5, 0.1, (2, 20)).clip(0, 1)
        heat = heatmap(x, y, rng.uniform(100, 600, 20), image.shape[:2])
        made.append(np.rint(refine(image, heat) * 65535).astype(np.uint16))
    return made


def main() -> None:
    """Print a row for each strategy and filter, all at compression level 1."""
    cv2.setNumThreads(1)
    given = maps(8)
    print(f"{machine()}; means over {len(given)} maps")
    for strategy, number in STRATEGIES.items():
        for name, chosen in FILTERS.items():
            options = (cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, number, *chosen)
            started = time.process_time()
            size = sum(len(cv2.imencode(".png", each, options)[1]) for each in given)
            milliseconds = (time.process_time() - started) / len(given) * 1e3
            print(f"{strategy:<13} {name:<17} {milliseconds:6.1f} ms {size / len(given) / 1e3:6.0f} kB")


if __name__ == "__main__":
    main()
