"""The dense CRF as one function, for Python users."""

from importlib import import_module

import numpy as np

from fovea.prepare.refiners.refiner import Refiner


def refine(
    image: np.ndarray,
    probability: np.ndarray,
    compat: float = 1.0,
    sxy: float = 80.0,
    srgb: float = 13.0,
    iterations: int = 10,
    backend: str = "lattice",
    tolerance: float = 1e-3,
) -> np.ndarray:
    """Fit a map to the edges of its image by a dense CRF.

    Args:
        image: uint8 [H, W, 3], or [H, W, 1] for gray.
        probability: [H, W] in [0, 1], the probability of the foreground.
        compat: Weight of the bilateral term.
        sxy: Standard deviation of the kernel in pixels.
        srgb: Standard deviation of the kernel in gray levels.
        iterations: Steps of the mean field at most.
        backend: `lattice` (compiled by Numba), `torch` (on the GPU if there is one) or `pydensecrf` (the library of
            the original authors). With `tolerance=0` they agree to 1e-4.
        tolerance: Stop after a step that changed no probability by more; 0 does all steps. `pydensecrf` has none.

    Returns:
        float32 [H, W] in [0, 1].

    Raises:
        ValueError: The backend is unknown or not installed, image and map differ in size, or `sxy` or `srgb` is too
            small for the image.
    """
    if image.ndim != 3 or image.shape[:2] != probability.shape:
        raise ValueError(f"image and probability must have one size, got {image.shape} and {probability.shape}")
    color = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
    modules = {"lattice": "lattice", "torch": "lattice_torch", "pydensecrf": "pydensecrf"}
    if backend not in modules:
        raise ValueError(f"backend must be one of {', '.join(modules)}, got {backend!r}")
    implementation = import_module(f"fovea.prepare.refiners.densecrf.{modules[backend]}")  # Numba and torch load slowly
    numbers = (compat, sxy, srgb, iterations)
    crf: Refiner = implementation.DenseCrf(*numbers, *(() if backend == "pydensecrf" else (tolerance,)))
    return crf(color, np.array(probability, np.float32))
