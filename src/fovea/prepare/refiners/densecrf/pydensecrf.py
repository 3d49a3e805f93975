"""The dense CRF of the original authors' library."""

from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np

from fovea.prepare.refiners.densecrf import FLOOR
from fovea.runtime.bounds import NonNegative, NonNegativeInt, Positive


@dataclass(frozen=True)
class DenseCrf:
    """Mean field by pydensecrf2; the arguments are those of `refine`."""

    compat: NonNegative
    sxy: Positive
    srgb: Positive
    iterations: NonNegativeInt

    def __post_init__(self) -> None:
        if find_spec("pydensecrf") is None:
            raise ValueError("refine=pydensecrf: pydensecrf2 is not installed; run `make crf`, or set refine=lattice")

    def __call__(self, image: np.ndarray, probability: np.ndarray) -> np.ndarray:
        import pydensecrf.densecrf as dcrf  # optional, and slow to load

        height, width = probability.shape
        target = probability.reshape(-1)
        labels = np.stack([1.0 - target, target]).astype(np.float32)
        model = dcrf.DenseCRF2D(width, height, len(labels))
        model.setUnaryEnergy(-np.log(np.clip(labels, FLOOR, 1.0)))
        model.addPairwiseBilateral(
            sxy=self.sxy,
            srgb=self.srgb,
            rgbim=np.require(image, np.uint8, ["C", "W"]),  # it takes no read-only array
            compat=self.compat,
            kernel=dcrf.DIAG_KERNEL,
            normalization=dcrf.NORMALIZE_SYMMETRIC,
        )
        marginals = np.asarray(model.inference(self.iterations), np.float32)
        return marginals[1].reshape(height, width)
