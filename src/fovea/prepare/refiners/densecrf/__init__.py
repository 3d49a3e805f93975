"""The dense CRF with one bilateral Potts term and two labels, in three implementations that agree to 1e-4.

Krähenbühl and Koltun, *Efficient Inference in Fully Connected CRFs with Gaussian Edge Potentials*, 2011 (arXiv
1210.5644). The unary term is -log of the map. The kernel exp(-|dpos|^2 / (2 sxy^2) - |dcolor|^2 / (2 srgb^2)) is
normalized symmetrically. With two labels it is enough to filter their difference q = 2 P - 1 = tanh(logit / 2).
"""

from importlib import import_module

import numpy as np

from fovea.prepare.refiners import Refiner

FLOOR = 1e-5  # the lowest probability, so that no label is ever impossible


def logit(probability: np.ndarray) -> np.ndarray:
    """Return the logit of a map, kept finite."""
    low, one = np.float32(FLOOR), np.float32(1)
    return np.log(np.clip(probability, low, one)) - np.log(np.clip(one - probability, low, one))


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
    """Return a map that a dense CRF fitted to the edges of its image, float32 [H, W] in [0, 1].

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

    A ValueError if the backend is unknown or not installed, image or map have other types or values, or differ in size,
    or `sxy` or `srgb` is too small for the image.
    """
    if image.ndim != 3 or image.shape[:2] != probability.shape:
        raise ValueError(f"image and probability must have one size, got {image.shape} and {probability.shape}")
    if image.dtype != np.uint8 or image.shape[2] not in (1, 3):
        raise ValueError(f"image must be uint8 [H, W, 3] or [H, W, 1], got {image.dtype} {image.shape}")
    if not ((probability >= 0) & (probability <= 1)).all():
        raise ValueError("probability must be in [0, 1], without NaN")
    color = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
    modules = {"lattice": "lattice", "torch": "lattice_torch", "pydensecrf": "pydensecrf"}
    if backend not in modules:
        raise ValueError(f"backend must be one of {', '.join(modules)}, got {backend!r}")
    implementation = import_module(f"fovea.prepare.refiners.densecrf.{modules[backend]}")  # Numba and torch load slowly
    numbers = (compat, sxy, srgb, iterations)
    crf: Refiner = implementation.DenseCrf(*numbers, *(() if backend == "pydensecrf" else (tolerance,)))
    return crf(color, np.array(probability, np.float32))
