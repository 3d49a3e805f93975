"""Refining: draw a soft map to the image's edges, by a dense CRF or by what OpenCV offers instead."""

from importlib.util import find_spec

import numpy as np

from fovea.data.parameters import BACKENDS

_FLOOR = 1e-5  # of the probabilities, so that no label is ever impossible


def refine(
    image: np.ndarray,
    probability: np.ndarray,
    compat: float = 1.0,
    sxy: float = 80.0,
    srgb: float = 13.0,
    iterations: int = 10,
    backend: str = "lattice",
    tolerance: float = 1e-3,
    radius: int = 30,
    epsilon: float = 1e-3,
    background: float = 0.1,
    foreground: float = 0.9,
) -> np.ndarray:
    """Draw a map to the image's edges.

    `lattice`, `torch` and `pydensecrf` do the mean field of a dense CRF with one bilateral Potts term, symmetrically
    normalised: Krähenbühl and Koltun, *Efficient Inference in Fully Connected CRFs with Gaussian Edge Potentials*,
    2011 (arXiv 1210.5644). The unary term is -log of the map, the kernel
    exp(-|dpos|^2 / (2 sxy^2) - |dcolour|^2 / (2 srgb^2)). The first is compiled by Numba, the second runs on a GPU
    where there is one, the third is the library of the original authors; with `tolerance=0` they agree to 1e-4.

    Args:
        image: uint8 [H, W, 3], or [H, W, 1] for grey.
        probability: [H, W] in [0, 1], of the target.
        compat: weight of the bilateral term.
        sxy: standard deviation in pixels.
        srgb: standard deviation in grey levels.
        iterations: steps of the mean field at most; those of GrabCut.
        backend: one of `BACKENDS`, which says what the others are for.
        tolerance: the mean field stops after a step that changed no probability by more; 0 does all steps.
        radius: of the guided filter's window in pixels; see `fovea.prepare.refiners.classical`.
        epsilon: variance of intensity in [0, 1] below which the guided filter smooths.
        background: GrabCut takes what is no more probable for sure background.
        foreground: GrabCut takes what is at least as probable for sure foreground.

    Returns:
        float32 [H, W] in [0, 1], the probability of the target.

    Raises:
        ValueError: the backend is unknown or not installed, the image and the map differ in size, or `sxy` or `srgb`
            is too small for the image.
    """
    _check_name(backend)
    if image.ndim != 3 or image.shape[:2] != probability.shape:
        raise ValueError(f"an image of {image.shape} and a map of {probability.shape} do not belong together")
    target = np.array(probability, np.float32)
    colour = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
    match backend:
        case "lattice":
            return _mean_field(colour, target, compat, sxy, srgb, iterations, tolerance)
        case "torch":
            from fovea.prepare.refiners.densecrf.lattice_torch import (
                mean_field,  # nothing else in this package loads torch
            )

            return mean_field(colour, unary(target), compat, sxy, srgb, iterations, tolerance)
        case "pydensecrf":
            return _pydensecrf(colour, target, compat, sxy, srgb, iterations)
        case "guided":
            from fovea.prepare.refiners.classical import guided

            return guided(colour, target, radius, epsilon)
        case "grabcut":
            from fovea.prepare.refiners.classical import grabcut

            return grabcut(colour, target, iterations, background, foreground)
    return target


def check_backend(backend: str) -> None:
    """Make sure that a backend can be used here; nothing is loaded for it.

    Raises:
        ValueError: it is unknown, or its package is not installed.
    """
    _check_name(backend)
    if backend == "pydensecrf" and find_spec("pydensecrf") is None:
        raise ValueError(
            "refine=pydensecrf: the package is not installed; install it with `make crf` (needs a C++ compiler) "
            "or set refine=lattice, which gives the same maps"
        )


def unary(target: np.ndarray) -> np.ndarray:
    """Logit of a map, [H, W], kept finite: the unary term, of which two labels need the difference alone."""
    low = np.float32(_FLOOR)
    one = np.float32(1)
    return np.log(np.clip(target, low, one)) - np.log(np.clip(one - target, low, one))


def _check_name(backend: str) -> None:
    if backend not in BACKENDS:
        raise ValueError(f"refine: {backend!r} is not known; use one of {', '.join(BACKENDS)}")


def _mean_field(
    image: np.ndarray,
    target: np.ndarray,
    compat: float,
    sxy: float,
    srgb: float,
    iterations: int,
    tolerance: float,
) -> np.ndarray:
    """Mean field for q = 2 P - 1 = tanh(logit / 2): with two labels, filtering the difference is enough."""
    from fovea.prepare.refiners.densecrf.lattice import Lattice  # Numba takes a second to load

    lattice = Lattice(image, sxy, srgb)
    norm = 1 / np.sqrt(lattice.filter(np.ones(target.size, np.float32)) + np.float32(1e-20))
    reach = np.float32(compat / 2) * norm
    half = unary(target).reshape(-1) / 2
    q = np.tanh(half)
    for _ in range(iterations):
        before, q = q, np.tanh(half + reach * lattice.filter(norm * q))
        if np.abs(q - before).max() <= 2 * tolerance:
            break
    return ((q + 1) / 2).reshape(target.shape)


def _pydensecrf(
    image: np.ndarray, probability: np.ndarray, compat: float, sxy: float, srgb: float, iterations: int
) -> np.ndarray:
    import pydensecrf.densecrf as dcrf  # optional, and slow to load

    height, width = probability.shape
    target = probability.reshape(-1)
    labels = np.stack([1.0 - target, target]).astype(np.float32)
    model = dcrf.DenseCRF2D(width, height, len(labels))
    model.setUnaryEnergy(-np.log(np.clip(labels, _FLOOR, 1.0)))
    model.addPairwiseBilateral(
        sxy=sxy,
        srgb=srgb,
        rgbim=np.require(image, np.uint8, ["C", "W"]),  # it takes no read-only array
        compat=compat,
        kernel=dcrf.DIAG_KERNEL,
        normalization=dcrf.NORMALIZE_SYMMETRIC,
    )
    marginals = np.asarray(model.inference(iterations), np.float32)
    return marginals[1].reshape(height, width)
