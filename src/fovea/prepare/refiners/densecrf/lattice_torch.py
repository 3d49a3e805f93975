"""The dense CRF in torch, for a GPU. See `permutohedral.py` for the method.

A hash table is a poor fit for a GPU; here the vertices are numbered by sorting their keys.
"""

import numpy as np
import torch
from torch import Tensor

from fovea.prepare.refiners.densecrf import logit
from fovea.prepare.refiners.densecrf.permutohedral import CORNERS, DIMENSIONS, GAIN, Crf, embed

_SHARE = float(np.float32(1 / CORNERS))  # rounded as in the other implementations


class DenseCrf(Crf):
    """Mean field on the GPU if there is one, where repeated results differ by rounding."""

    def __call__(self, image: np.ndarray, probability: np.ndarray) -> np.ndarray:
        """Return the refined map, see `Refiner`; raises like `embed`."""
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        lattice = Lattice(image, self.sxy, self.srgb, device)
        half = torch.as_tensor(logit(probability), device=device).flatten() / 2
        norm = (lattice.filter(torch.ones_like(half)) + 1e-20).rsqrt()
        q = half.tanh()
        for _ in range(self.iterations):
            before, q = q, (half + self.compat / 2 * norm * lattice.filter(norm * q)).tanh()
            if (q - before).abs().max() <= 2 * self.tolerance:
                break
        return ((q + 1) / 2).reshape(probability.shape).cpu().numpy()


class Lattice:
    """The lattice of an image, uint8 [H, W, 3], on a device."""

    def __init__(self, image: np.ndarray, sxy: float, srgb: float, device: torch.device) -> None:
        height, width, _ = image.shape
        embedding = embed(height, width, sxy, srgb)
        radix = torch.tensor([*embedding.radix, 0], device=device)
        point = _elevate(image, embedding.across, embedding.down, embedding.shade, device)
        base, order, self._weights = _enclose(point)
        first = CORNERS * (base * radix).sum(1) + embedding.offset
        # From one vertex to the next, every coordinate grows by 1, except for one that falls by 5.
        steps = radix.sum() - CORNERS * radix[order.flip(1)[:, :-1]]
        keys = torch.cat([first[:, None], first[:, None] + steps.cumsum(1)], dim=1)
        vertices, self._corners = torch.unique(keys, return_inverse=True)
        self._neighbors = [
            torch.stack([_numbers(vertices, vertices + step), _numbers(vertices, vertices - step)])
            for step in embedding.steps().tolist()
        ]
        self._size = len(vertices)

    def filter(self, values: Tensor) -> Tensor:
        """Return the sum over all pixels of kernel times value; both are float32 [H * W]."""
        held = values.new_zeros(self._size + 1)  # the last stands for all vertices that do not exist
        held.index_add_(0, self._corners.flatten(), (self._weights * values[:, None]).flatten())
        for neighbors in self._neighbors:
            held[:-1] = held[:-1] + held[neighbors].sum(0) / 2
        return (self._weights * held[self._corners]).sum(1) * GAIN


def _elevate(
    image: np.ndarray, across: np.ndarray, down: np.ndarray, shade: np.ndarray, device: torch.device
) -> Tensor:
    """Return the coordinates of the pixels on the hyperplane of the lattice, float32 [H * W, 6]."""
    size = image.shape[:2]
    color = [shade[image[..., channel], channel] for channel in range(image.shape[2])]
    features = np.stack([np.broadcast_to(across, size), np.broadcast_to(down[:, None], size), *color])
    feature = torch.as_tensor(features, device=device).flatten(1)
    total = torch.zeros_like(feature[0])
    point = []
    for i in range(DIMENSIONS, 0, -1):
        point.append(total - i * feature[i - 1])
        total = total + feature[i - 1]
    return torch.stack([total, *reversed(point)], dim=1)


def _enclose(point: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Find the simplex around each point, [N, 6].

    Returns its first vertex in steps of 6 (int64), the order of the coordinates from the largest remainder to the
    smallest (int64) and the barycentric weights (float32), each [N, 6].
    """
    base = (point * _SHARE).round()
    rest = point - base * CORNERS
    excess = base.sum(1, keepdim=True).long()
    rank = rest.argsort(dim=1, descending=True, stable=True).argsort(dim=1) + excess
    # Rounding may leave the hyperplane by `excess` steps: step back where that costs least.
    turn = (rank < 0).long() - (rank >= CORNERS).long()
    rest = (rest - CORNERS * turn) * _SHARE
    order = (rank + CORNERS * turn).argsort(dim=1)
    rest = rest.gather(1, order)
    weights = torch.cat([rest[:, -1:] + (1 - rest[:, :1]), (rest[:, :-1] - rest[:, 1:]).flip(1)], dim=1)
    return base.long() + turn, order, weights


def _numbers(vertices: Tensor, keys: Tensor) -> Tensor:
    """Return the position of each key among the sorted vertices; their number for a key that is not one of them."""
    index = torch.searchsorted(vertices, keys).clamp(max=len(vertices) - 1)
    return torch.where(vertices[index] == keys, index, len(vertices))
