"""The dense CRF on one core, with loops compiled by Numba: users need no compiler.

The permutohedral lattice (see `permutohedral.py`) shares the work: a pixel looks up its simplex, and only a new
simplex looks up its six vertices. Values go from pixels to simplices to vertices, and back the same way.
"""

import numpy as np

from fovea.prepare.refiners.densecrf import kernels, logit
from fovea.prepare.refiners.densecrf.permutohedral import CORNERS, GAIN, Crf, embed
from fovea.runtime.compiled import announce

_CHUNK = 1 << 16  # pixels whose codes stay in the second-level cache on the way to the hash table


class DenseCrf(Crf):
    """Mean field on the lattice."""

    def __call__(self, image: np.ndarray, probability: np.ndarray) -> np.ndarray:
        """Return the refined map, see `Refiner`; raises like `embed`."""
        lattice = Lattice(image, self.sxy, self.srgb)
        norm = 1 / np.sqrt(lattice.filter(np.ones(probability.size, np.float32)) + np.float32(1e-20))
        reach = np.float32(self.compat / 2) * norm
        half = logit(probability).reshape(-1) / 2
        q = np.tanh(half)
        for _ in range(self.iterations):
            before, q = q, np.tanh(half + reach * lattice.filter(norm * q))
            if np.abs(q - before).max() <= 2 * self.tolerance:
                break
        return ((q + 1) / 2).reshape(probability.shape)


class Lattice:
    """The lattice of an image, uint8 [H, W, 3]: 28 bytes for each pixel, and 48 for each simplex that contains one."""

    def __init__(self, image: np.ndarray, sxy: float, srgb: float) -> None:
        announce(kernels.place, "refine=lattice")
        height, width, _ = image.shape
        embedding = embed(height, width, sxy, srgb)
        features = embedding.across, embedding.down, embedding.shade
        pixels = np.require(image, np.uint8, ["C", "W"]).reshape(-1, 3)  # Numba would compile again for read-only ones
        self._weights = np.empty((len(pixels), CORNERS), np.float32)  # barycentric
        self._simplex = np.empty(len(pixels), np.int32)
        simplices, vertices = _Table(CORNERS), _Table(0)
        codes = np.empty(min(_CHUNK, len(pixels)), np.int64)
        for first in range(0, len(pixels), _CHUNK):
            part = slice(first, min(first + _CHUNK, len(pixels)))
            chunk = codes[: part.stop - first]
            kernels.place(pixels[part], first, features, embedding.radix, embedding.offset, chunk, self._weights[part])
            _number(chunk, embedding.radix, self._simplex[part], simplices, vertices)
        self._corners = simplices.rows[: simplices.used].copy()
        self._neighbors = kernels.meet(vertices.slots, vertices.keys[: vertices.used], embedding.steps())
        self.vertices: int = self._neighbors.shape[1]

    def filter(self, values: np.ndarray) -> np.ndarray:
        """Return the sum over all pixels of kernel times value; both are float32 [H * W]."""
        spread = np.empty(self._corners.shape, np.float32)  # on the corners of each simplex
        held = kernels.splat(self._simplex, self._weights, self._corners, values, self.vertices, spread)
        held = kernels.blur(held, self._neighbors) * np.float32(GAIN)
        out = np.empty_like(values)
        kernels.interpolate(self._simplex, self._weights, self._corners, held, spread, out)
        return out


class _Table:
    """An open-addressing hash table, half full at most: int64 keys get numbers from 0 on and an int32 row."""

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
    """Write the number of each pixel's simplex into `simplex`; enter new simplices and their vertices in the tables."""
    done = 0
    while done < len(codes):
        simplices.grow_if_full()
        vertices.grow_if_full()
        tables = simplices.rows, *((each.slots, each.keys, each.used) for each in (simplices, vertices))
        done, simplices.used, vertices.used = kernels.number(codes, done, radix, simplex, *tables)
