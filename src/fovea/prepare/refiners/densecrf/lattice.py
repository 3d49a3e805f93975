"""The permutohedral lattice on one core, with loops compiled by Numba: no compiler on the user's machine.

What takes time is shared. A pixel looks up its simplex, and only a new simplex its six vertices; values travel from
pixels to simplices to vertices, and back the same way. See `permutohedral.py` for the method.
"""

import numpy as np

from fovea.prepare.refiners.densecrf import kernels
from fovea.prepare.refiners.densecrf.permutohedral import CORNERS, GAIN, embed

_CHUNK = 1 << 16  # pixels whose codes stay in the second-level cache on the way to the hash table


class Lattice:
    """The lattice of one image: 28 bytes a pixel, and 48 for each simplex that holds one.

    Args:
        image: uint8 [H, W, 3].
        sxy: standard deviation of the kernel in pixels.
        srgb: standard deviation of the kernel in grey levels.

    Raises:
        ValueError: see `fovea.prepare.refiners.densecrf.permutohedral.embed`.
    """

    def __init__(self, image: np.ndarray, sxy: float, srgb: float) -> None:
        height, width, _ = image.shape
        embedding = embed(height, width, sxy, srgb)
        features = embedding.across, embedding.down, embedding.shade
        pixels = np.require(image, np.uint8, ["C", "W"]).reshape(-1, 3)  # read-only ones would be compiled for anew
        self._weights = np.empty((len(pixels), CORNERS), np.float32)  # barycentric
        self._simplex = np.empty(len(pixels), np.int32)
        simplices, vertices = _Table(CORNERS), _Table(0)
        codes = np.empty(min(_CHUNK, len(pixels)), np.int64)
        for first in range(0, len(pixels), _CHUNK):
            part = slice(first, min(first + _CHUNK, len(pixels)))
            chunk = codes[: part.stop - first]
            kernels.place(pixels[part], first, *features, embedding.radix, embedding.offset, chunk, self._weights[part])
            _number(chunk, embedding.radix, self._simplex[part], simplices, vertices)
        self._corners = simplices.rows[: simplices.used].copy()
        self._neighbours = kernels.meet(vertices.slots, vertices.keys[: vertices.used], embedding.steps())

    @property
    def vertices(self) -> int:
        """Their number."""
        return self._neighbours.shape[1]

    def filter(self, values: np.ndarray) -> np.ndarray:
        """Sum over all pixels of kernel times value.

        Args:
            values: float32 [H * W].

        Returns:
            float32 [H * W].
        """
        spread = np.empty(self._corners.shape, np.float32)  # on the corners of each simplex
        held = kernels.splat(self._simplex, self._weights, self._corners, values, self.vertices, spread)
        held = kernels.blur(held, self._neighbours) * np.float32(GAIN)
        out = np.empty_like(values)
        kernels.interpolate(self._simplex, self._weights, self._corners, held, spread, out)
        return out


class _Table:
    """Numbers from 0 for int64 keys, and a row of int32 for each: an open-addressing hash table, at most half full."""

    def __init__(self, columns: int, bits: int = 16) -> None:
        self.slots = np.full(1 << bits, -1, np.int32)
        self.keys = np.empty(1 << (bits - 1), np.int64)
        self.rows = np.empty((len(self.keys), columns), np.int32)
        self.used = 0

    def grow_if_full(self) -> None:
        if self.used + CORNERS > len(self.keys):
            self.slots = np.full(2 * len(self.slots), -1, np.int32)
            self.keys = np.concatenate([self.keys, np.empty_like(self.keys)])
            self.rows = np.concatenate([self.rows, np.empty_like(self.rows)])
            kernels.refill(self.slots, self.keys[: self.used])


def _number(codes: np.ndarray, radix: np.ndarray, simplex: np.ndarray, simplices: _Table, vertices: _Table) -> None:
    """The number of each pixel's simplex, into `simplex`; new ones, and their vertices, enter the tables."""
    done = 0
    while done < len(codes):
        simplices.grow_if_full()
        vertices.grow_if_full()
        done, simplices.used, vertices.used = kernels.number(
            codes,
            done,
            radix,
            simplex,
            simplices.rows,
            simplices.slots,
            simplices.keys,
            simplices.used,
            vertices.slots,
            vertices.keys,
            vertices.used,
        )
