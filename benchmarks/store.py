"""Compare the PNG encodings that OpenCV offers for a map: processor time and bytes."""

import time

import cv2
import numpy as np
from _machine import machine

from fovea import heatmap, refine
from fovea.data.images.synthetic import draw

STRATEGIES = {name: getattr(cv2, f"IMWRITE_PNG_STRATEGY_{name}") for name in ("DEFAULT", "HUFFMAN_ONLY", "RLE")}
FILTERS = {
    "OpenCV's default": (),
    **{f: (cv2.IMWRITE_PNG_FILTER, getattr(cv2, f"IMWRITE_PNG_FILTER_{f}")) for f in ("SUB", "UP", "PAETH")},
}


def maps(count: int) -> list[np.ndarray]:
    """Make uint16 maps as the prepare stage does, of generated images of Kvasir-SEG's size."""
    rng = np.random.default_rng(0)
    result = []
    for _ in range(count):
        image, _ = draw(rng, 576)
        x, y = rng.normal(0.5, 0.1, (2, 20)).clip(0, 1)
        heat = heatmap(x, y, rng.uniform(100, 600, 20), image.shape[:2])
        result.append(np.rint(refine(image, heat) * 65535).astype(np.uint16))
    return result


def main() -> None:
    """Print a row for each strategy and filter, all at compression level 1."""
    cv2.setNumThreads(1)
    samples = maps(8)
    print(f"{machine()}; means over {len(samples)} maps")
    for strategy, number in STRATEGIES.items():
        for name, chosen in FILTERS.items():
            options = (cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, number, *chosen)
            started = time.process_time()
            size = sum(len(cv2.imencode(".png", sample, options)[1]) for sample in samples)
            milliseconds = (time.process_time() - started) / len(samples) * 1e3
            print(f"{strategy:<13} {name:<17} {milliseconds:6.1f} ms {size / len(samples) / 1e3:6.0f} kB")


if __name__ == "__main__":
    main()
