"""A trained model as refiner: its prediction and the map of the label together."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import Field
from scipy.special import expit, logit

from fovea.prepare.refiners import Refiner, is_unlabeled
from fovea.runtime.bounds import NonNegative

CERTAIN = 1e-4  # probabilities are cut off here, so that neither side decides alone


@dataclass(frozen=True)
class Posterior:
    """Bayes' rule with the map g of the label as the prior and the prediction p of a network as the likelihood.

    The map is sigmoid(logit p + `weight` (logit g - logit `threshold`)). Training on the refined maps and refining
    with the trained network in turn is expectation maximization. `configs/refine/model.yaml` describes the arguments.
    The network maps an image, uint8 [H, W, 3], to the probability of the foreground, [H, W]. Maps of gaze cover less
    than the structure, so the threshold is below 0.5. Of labels that leave pixels at 0.5, it must be 0.5.
    """

    base: Refiner
    network: Callable[[np.ndarray], np.ndarray]
    weight: NonNegative
    threshold: Annotated[float, Field(strict=True, gt=0, lt=1)]

    @property
    def digest(self) -> str:
        """Return a hash of the weights that maps depend on."""
        return str(self.network.digest)  # type: ignore[attr-defined]

    @property
    def trained_on(self) -> list[str]:
        """Return the ids of the images that the network was trained on, as far as its file names them."""
        return list(self.network.trained_on)  # type: ignore[attr-defined]

    @property
    def reading(self) -> list[dict[str, Any]]:
        """Return how the images of each network were read, by key of `data`."""
        return list(self.network.reading)  # type: ignore[attr-defined]

    def __call__(self, image: np.ndarray, probability: np.ndarray) -> np.ndarray:
        if self.weight and self.threshold != 0.5 and is_unlabeled(probability):
            side = "foreground" if self.threshold < 0.5 else "background"
            wrong = f"refine.threshold={self.threshold:g} makes {side} likely where nobody labeled (0.5)"
            raise ValueError(f"{wrong}; set refine.threshold=0.5")
        prior, likelihood = (
            logit(np.clip(values.astype(np.float64), CERTAIN, 1 - CERTAIN))
            for values in (self.base(image, probability), self.network(image))
        )
        return expit(likelihood + self.weight * (prior - logit(self.threshold))).astype(np.float32)
