"""The largest connected component of each class, for structures that are in one piece."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from fovea.supervision.outputs import labels


def largest_if_asked(predictor: Callable[..., Mapping[str, Tensor]], data: Mapping[str, Any]) -> Callable[..., Any]:
    """Return the predictor, or one with the largest components if the group `data` has `largest_component`.

    Its other components are background with certainty. As in nnU-Net (Isensee et al., Nature Methods 2021), decide by
    the scores on validation images.
    """
    if not data.get("largest_component"):
        return predictor
    return lambda *given: {name: _cleared(probability) for name, probability in predictor(*given).items()}


def largest(classes: Tensor) -> Tensor:
    """Return labels [B, *size] with the largest component of each class; the others become 0.

    Pixels touch by sides or corners. Of components of one size, the first is kept.
    """
    cases = classes.cpu().to(torch.int64, copy=True).numpy()
    for case in cases:
        for label in np.unique(case[case > 0]):
            parts, number = ndimage.label(case == label, np.ones((3,) * case.ndim))
            if number > 1:
                case[(parts > 0) & (parts != np.bincount(parts.flat)[1:].argmax() + 1)] = 0
    return torch.from_numpy(cases).to(classes)


def _cleared(probability: Tensor) -> Tensor:
    found = labels(probability)
    other = (found != largest(found))[:, None]
    cleared = probability.masked_fill(other, 0)
    if probability.shape[1] > 1:
        cleared[:, :1].masked_fill_(other, 1)
    return cleared
