"""Compare an exported ONNX file with its checkpoint: seconds an image, from pixels to probabilities."""

import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import torch
from _machine import composed, machine

import fovea
from fovea.engine.build import build
from fovea.engine.checkpoint import load
from fovea.engine.export.write import export

CASES = {
    "smp, resnet34, one level": ["backbone.encoder_weights=null", "supervision=full"],
    "basic_unet, published widths, one level": ["backbone=basic_unet", "supervision=full"],
}
SIDES = (531, 622)  # a common size of Kvasir-SEG


def seconds(predict: Callable[[np.ndarray], object], image: np.ndarray, repeats: int = 5) -> float:
    """Return the median time of a call after a first one."""
    predict(image)
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        predict(image)
        times.append(time.perf_counter() - started)
    return median(times)


def main() -> None:
    """Print a row for each network; both use all cores of the machine."""
    if find_spec("onnxruntime") is None:
        print("onnxruntime is not installed (make export): nothing to time")
        return
    image = np.random.default_rng(0).integers(0, 256, (*SIDES, 3), np.uint8)
    print(f"{machine()}, {torch.get_num_threads()} threads; {SIDES[0]} x {SIDES[1]} pixels, medians of 5")
    for name, overrides in CASES.items():
        config = composed("train", "data=kvasir", *overrides)
        module = build(config).eval()
        with TemporaryDirectory() as folder:
            checkpoint, file = Path(folder) / "a.ckpt", Path(folder) / "model.onnx"
            state = {f"supervision.{key}": value for key, value in module.state_dict().items()}
            torch.save({"state_dict": state, "fovea": {"config": config}}, checkpoint)
            difference = export(*_loaded(checkpoint), file)
            plain, exported = (seconds(fovea.load(path).predict, image) for path in (checkpoint, file))
        print(
            f"{name:<42} checkpoint {plain:6.3f} s   onnx {exported:6.3f} s   ratio {exported / plain:5.2f}   "
            f"difference {difference:.0e}"
        )


def _loaded(checkpoint: Path) -> tuple[torch.nn.Module, dict]:
    module, config, *_ = load(checkpoint, torch.device("cpu"))
    return module, config["data"]


if __name__ == "__main__":
    main()
