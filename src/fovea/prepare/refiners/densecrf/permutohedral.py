"""Coordinates of the pixels of an image in the permutohedral lattice over position and color.

Adams, Baek and Davis, *Fast High-Dimensional Filtering Using the Permutohedral Lattice*, 2010. Conventions and the
order of float32 operations follow Krähenbühl and Koltun's dense CRF (2011), so that equal input gives equal simplices.
A lattice of d = 5 dimensions (x, y, three colors) has d + 1 coordinates, of which the last follows from the others; a
simplex has d + 1 vertices.
"""

import math
from dataclasses import dataclass

import numpy as np

from fovea.runtime.bounds import NonNegative, NonNegativeInt, Positive

DIMENSIONS = 5
CORNERS = DIMENSIONS + 1  # vertices of a simplex, and coordinates of a point
ORDERS = CORNERS**DIMENSIONS
"""Factor of the key of the first vertex, in steps of `CORNERS`, in the code of a simplex; its order is added."""

GAIN = 1 / (1 + 2.0**-DIMENSIONS)  # factor for the result of the blur
_MARGIN = 3 * CORNERS  # a vertex is less than one simplex away from its pixel, a neighbor one more


@dataclass(frozen=True)
class Crf:
    """The arguments of the dense CRF on the lattice, those of `fovea.prepare.refiners.densecrf.refine`."""

    compat: NonNegative
    sxy: Positive
    srgb: Positive
    iterations: NonNegativeInt
    tolerance: NonNegative


@dataclass(frozen=True)
class Embedding:
    """The scaled features of the pixels, and the numbering of lattice points by one int64."""

    across: np.ndarray  # float32 [W], the first feature by column
    down: np.ndarray  # float32 [H], the second feature by row
    shade: np.ndarray  # float32 [256, 3], the other features by gray level and channel
    radix: np.ndarray  # int64 [5]; a key is the sum of the first five coordinates times these, plus `offset`
    offset: int  # makes the smallest key 0

    def steps(self) -> np.ndarray:
        """Return the difference of keys between neighbors along the six axes, int64 [6]."""
        return CORNERS * np.append(self.radix, 0) - self.radix.sum()


def embed(height: int, width: int, sxy: float, srgb: float) -> Embedding:
    """Return the embedding of images of one size for the standard deviations of the kernel, in pixels and gray levels.

    A ValueError if `sxy` or `srgb` is so small that the lattice has more points than an int64 can number.
    """
    deviation = np.float32(math.sqrt(2 / 3) * CORNERS)  # of the filter of the lattice
    scale = [np.float32(float(deviation) / math.sqrt((i + 1) * (i + 2))) for i in range(DIMENSIONS)]
    spans = [width / sxy, height / sxy, *[256 / srgb] * 3]
    reach = [span * float(factor) for span, factor in zip(spans, scale, strict=True)]
    lowest = [-i * reach[i - 1] if i else 0.0 for i in range(DIMENSIONS)]
    extent = [sum(reach[i:]) - low + 2 * _MARGIN for i, low in enumerate(lowest)]
    if not math.prod(extent) * ORDERS / CORNERS < 2**62:
        raise ValueError(f"sxy={sxy:g} and srgb={srgb:g} are too small for {width} x {height} pixels; raise them")
    radix = np.cumprod([1, *map(math.ceil, extent[:-1])], dtype=np.int64)
    # In steps of CORNERS: the coordinates of the first vertex of a simplex are multiples of it.
    origin = CORNERS * np.floor((np.array(lowest) - _MARGIN) / CORNERS).astype(np.int64)
    gray = np.arange(256, dtype=np.float32) / np.float32(srgb)
    return Embedding(
        across=np.arange(width, dtype=np.float32) / np.float32(sxy) * scale[0],
        down=np.arange(height, dtype=np.float32) / np.float32(sxy) * scale[1],
        shade=np.stack([gray * factor for factor in scale[2:]], axis=1),
        radix=radix,
        offset=-int(origin @ radix),
    )
