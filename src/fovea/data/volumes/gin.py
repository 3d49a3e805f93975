"""Random changes of appearance by small random networks."""

from collections.abc import Hashable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from monai.transforms import MapTransform, RandomizableTransform
from torch import Tensor
from torch.nn import functional as F

from fovea.runtime.bounds import Count, Fraction

CONVOLUTIONS = {3: F.conv2d, 4: F.conv3d}  # by dimensions of an image


class RandAppearanced(RandomizableTransform, MapTransform):
    """Replace an image x [1, *size] by a n(x) + (1 - a) x with a ~ U(0, 1), scaled to the norm of x.

    n is a new random network each time: `layers` convolutions of sides 1 or 3, to `channels` channels, the last to one,
    with weights and shifts ~ N(0, 1) and leaky ReLU between them. Shapes stay, and which structure is bright changes.
    Global intensity non-linear augmentation (GIN), Ouyang et al., "Causality-Inspired Single-Source Domain
    Generalization for Medical Image Segmentation", IEEE TMI 2022.
    """

    def __init__(self, keys: Sequence[Hashable], prob: Fraction, layers: Count, channels: Count) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob)
        self.layers, self.channels = layers, channels

    def __call__(self, data: Mapping[Any, Any]) -> dict[Any, Any]:
        changed = dict(data)
        for key in self.key_iterator(changed):
            self.randomize(None)
            if self._do_transform:
                image = torch.as_tensor(changed[key])
                weights, share = draw_network(self.R, self.layers, self.channels, image.dim() - 1), self.R.random()
                changed[key] = mixed(image, weights, share)
        return changed


def draw_network(rng: np.random.RandomState, layers: int, channels: int, dims: int) -> list[tuple[Tensor, Tensor]]:
    """Draw the weights [out, in, *sides] and the shifts [out] of each convolution."""
    widths = [1, *[channels] * (layers - 1), 1]
    network = []
    for before, after in pairwise(widths):
        weight = rng.standard_normal((after, before, *[rng.choice([1, 3])] * dims))
        network.append((torch.tensor(weight).float(), torch.tensor(rng.standard_normal(after)).float()))
    return network


def mixed(image: Tensor, network: Sequence[tuple[Tensor, Tensor]], share: float) -> Tensor:
    """Return `share` of the output of a network, the rest of the image [1, *size], at the norm of the image."""
    values = image[None].float()
    for number, (weight, shift) in enumerate(network):
        values = F.leaky_relu(values) if number else values
        values = CONVOLUTIONS[image.dim()](values, weight, shift, padding=weight.shape[-1] // 2)
    result = share * values[0] + (1 - share) * image
    return result * (image.norm() / result.norm().clamp_min(torch.finfo(result.dtype).tiny))
