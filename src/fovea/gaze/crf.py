"""Dense CRF: draw a soft map to the image's edges."""

from importlib.util import find_spec

import numpy as np

from fovea.runtime.errors import FoveaError

BACKENDS = ("pydensecrf", "none")
"""Who does the mean field: `pydensecrf` is the library of the original authors, `none` leaves the map as it is."""

_FLOOR = 1e-5  # of the probabilities, so that no label is ever impossible


def refine(
    image: np.ndarray,
    probability: np.ndarray,
    compat: float = 1.0,
    sxy: float = 80.0,
    srgb: float = 13.0,
    iterations: int = 10,
    backend: str = "pydensecrf",
) -> np.ndarray:
    """Mean field of a dense CRF with one bilateral Potts term, symmetrically normalised.

    Krähenbühl and Koltun, *Efficient Inference in Fully Connected CRFs with Gaussian Edge Potentials*, 2011
    (arXiv 1210.5644). The unary term is -log of the map, the kernel
    exp(-|dpos|^2 / (2 sxy^2) - |dcolour|^2 / (2 srgb^2)).

    Args:
        image: uint8 [H, W, 3], or [H, W, 1] for grey.
        probability: [H, W] in [0, 1], of the target.
        compat: weight of the bilateral term.
        sxy: standard deviation in pixels.
        srgb: standard deviation in grey levels.
        iterations: mean-field steps.
        backend: one of `BACKENDS`.

    Returns:
        float32 [H, W] in [0, 1], the probability of the target.

    Raises:
        FoveaError: the backend is unknown or not installed, or the image and the map differ in size.
    """
    check_backend(backend)
    if image.ndim != 3 or image.shape[:2] != probability.shape:
        raise FoveaError(f"an image of {image.shape} and a map of {probability.shape} do not belong together")
    if backend == "none":
        return np.array(probability, np.float32)
    colour = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
    return _pydensecrf(colour, probability, compat, sxy, srgb, iterations)


def check_backend(backend: str) -> None:
    """Make sure that a backend can be used here.

    Raises:
        FoveaError: it is unknown, or its package is not installed.
    """
    if backend not in BACKENDS:
        raise FoveaError(f"gaze.crf.backend: {backend!r} is not known; use one of {', '.join(BACKENDS)}")
    if backend == "pydensecrf" and find_spec("pydensecrf") is None:
        raise FoveaError(
            "gaze.crf.backend: pydensecrf is not installed; install it with `make crf` (needs a C++ compiler) "
            "or set gaze.crf.backend=none"
        )


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
