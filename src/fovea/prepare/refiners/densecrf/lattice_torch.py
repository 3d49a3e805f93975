"""The mean field on the permutohedral lattice in torch: for a GPU. See `permutohedral.py` for the
method.

A hash table is a poor fit for a GPU; vertices are numbered by sorting their keys instead.
"""

import numpy as np
import torch
from torch import Tensor

from fovea.prepare.refiners.densecrf.permutohedral import CORNERS, DIMENSIONS, GAIN, embed

_SHARE = float(np.float32(1 / CORNERS))  # as the other implementations round it


def mean_field(
    image: np.ndarray,
    unary: np.ndarray,
    compat: float,
    sxy: float,
    srgb: float,
    iterations: int,
    tolerance: float,
) -> np.ndarray:
    """Mean field of the dense CRF, on the GPU where there is one.

    On a GPU sums are taken in no fixed order: repeated results differ by rounding.

    Args:
        image: uint8 [H, W, 3].
        unary: float32 [H, W], logit of the target.
        compat: weight of the bilateral term.
        sxy: standard deviation of the kernel in pixels.
        srgb: standard deviation of the kernel in grey levels.
        iterations: steps at most.
        tolerance: stop after a step that changed no probability by more.

    Returns:
        float32 [H, W], the probability of the target.

    Raises:
        ValueError: see `fovea.prepare.refiners.densecrf.permutohedral.embed`.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    lattice = Lattice(image, sxy, srgb, device)
    half = torch.as_tensor(unary, device=device).flatten() / 2
    norm = (lattice.filter(torch.ones_like(half)) + 1e-20).rsqrt()
    q = half.tanh()
    for _ in range(iterations):
        before, q = q, (half + compat / 2 * norm * lattice.filter(norm * q)).tanh()
        if (q - before).abs().max() <= 2 * tolerance:
            break
    return ((q + 1) / 2).reshape(unary.shape).cpu().numpy()


class Lattice:
    """The lattice of one image.

    Args:
        image: uint8 [H, W, 3].
        sxy: standard deviation of the kernel in pixels.
        srgb: standard deviation of the kernel in grey levels.
        device: where to compute.

    Raises:
        ValueError: see `fovea.prepare.refiners.densecrf.permutohedral.embed`.
    """

    def __init__(self, image: np.ndarray, sxy: float, srgb: float, device: torch.device) -> None:
        height, width, _ = image.shape
        embedding = embed(height, width, sxy, srgb)
        radix = torch.tensor([*embedding.radix, 0], device=device)
        base, order, self._weights = _enclose(
            _elevate(image, embedding.across, embedding.down, embedding.shade, device)
        )
        first = CORNERS * (base * radix).sum(1) + embedding.offset
        # From a vertex to the next, every coordinate grows by one, but the one whose turn it is falls by 5.
        steps = radix.sum() - CORNERS * radix[order.flip(1)[:, :-1]]
        keys = torch.cat([first[:, None], first[:, None] + steps.cumsum(1)], dim=1)
        vertices, self._corners = torch.unique(keys, return_inverse=True)
        self._neighbours = [
            torch.stack([_numbers(vertices, vertices + step), _numbers(vertices, vertices - step)])
            for step in embedding.steps().tolist()
        ]
        self._size = len(vertices)

    def filter(self, values: Tensor) -> Tensor:
        """Sum over all pixels of kernel times value, both float32 [H * W]."""
        held = values.new_zeros(self._size + 1)  # the last stands for a vertex that is not there
        held.index_add_(0, self._corners.flatten(), (self._weights * values[:, None]).flatten())
        for neighbours in self._neighbours:
            held[:-1] = held[:-1] + held[neighbours].sum(0) / 2
        return (self._weights * held[self._corners]).sum(1) * GAIN


def _elevate(
    image: np.ndarray, across: np.ndarray, down: np.ndarray, shade: np.ndarray, device: torch.device
) -> Tensor:
    """Coordinates of the pixels on the lattice's hyperplane, float32 [H * W, 6]."""
    height, width, channels = image.shape
    colour = [shade[image[..., channel], channel] for channel in range(channels)]
    features = np.stack(
        [np.broadcast_to(across, (height, width)), np.broadcast_to(down[:, None], (height, width)), *colour]
    )
    feature = torch.as_tensor(features, device=device).flatten(1)
    total = torch.zeros_like(feature[0])
    point = []
    for i in range(DIMENSIONS, 0, -1):
        point.append(total - i * feature[i - 1])
        total = total + feature[i - 1]
    return torch.stack([total, *reversed(point)], dim=1)


def _enclose(point: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The simplex around each point.

    Args:
        point: [N, 6].

    Returns:
        The first vertex in steps of 6, int64 [N, 6]; its coordinates from the largest remainder to the smallest,
        int64 [N, 6]; barycentric weights, float32 [N, 6].
    """
    base = (point * _SHARE).round()
    rest = point - base * CORNERS
    excess = base.sum(1, keepdim=True).long()
    rank = rest.argsort(dim=1, descending=True, stable=True).argsort(dim=1) + excess
    # Rounding may leave the hyperplane by as many steps as `excess`: step back where that costs least.
    turn = (rank < 0).long() - (rank >= CORNERS).long()
    rest = (rest - CORNERS * turn) * _SHARE
    order = (rank + CORNERS * turn).argsort(dim=1)
    rest = rest.gather(1, order)
    weights = torch.cat([rest[:, -1:] + (1 - rest[:, :1]), (rest[:, :-1] - rest[:, 1:]).flip(1)], dim=1)
    return base.long() + turn, order, weights


def _numbers(vertices: Tensor, keys: Tensor) -> Tensor:
    """Where each key stands in the sorted vertices; their number for one that is not there."""
    where = torch.searchsorted(vertices, keys).clamp(max=len(vertices) - 1)
    return torch.where(vertices[where] == keys, where, len(vertices))
