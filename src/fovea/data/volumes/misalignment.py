"""One modality moved away from the others: how much of it a method bears."""

import math
from collections.abc import Sequence
from zlib import crc32

import numpy as np
from scipy.ndimage import affine_transform


class Misalignment:
    """Shifts and turns the volumes of one modality by set amounts, each case in a direction of its own.

    The direction of a shift is uniform on the sphere; volumes turn about their centre and the axis of their slices,
    that of the coarsest spacing, to one side or the other. The directions of a case depend on `seed` alone, so that
    greater amounts move it further the same way.

    Args:
        modality: the name of the modality to move; None: the last one.
        shift: length in mm.
        rotation: angle in degrees, at most 180.
        seed: of the directions.

    Raises:
        ValueError: an amount or the seed makes no sense.
    """

    def __init__(self, modality: str | None, shift: float = 0.0, rotation: float = 0.0, seed: int = 0) -> None:
        if not (0 <= shift < math.inf and 0 <= rotation <= 180 and seed >= 0):
            raise ValueError(
                f"data.misalignment: shift={shift} rotation={rotation} seed={seed}; give a shift of 0 mm or more, a "
                "rotation of 0 to 180 degrees, and a seed of 0 or more"
            )
        self.modality = modality
        self.shift = shift
        self.rotation = rotation
        self.seed = seed

    def image(self, volume: np.ndarray, spacing: Sequence[float], case: str) -> np.ndarray:
        """The image of a case moved, interpolated linearly; what comes in from outside is its least value.

        Args:
            volume: [D, H, W].
            spacing: of its voxels in mm, along D, H and W.
            case: the id of the case.

        Returns:
            [D, H, W] of the same type, which is `volume` itself where there is nothing to move.

        Raises:
            ValueError: the volume has not three axes, or the spacing not three lengths above 0.
        """
        return self._moved(volume, spacing, case, 1)

    def mask(self, volume: np.ndarray, spacing: Sequence[float], case: str) -> np.ndarray:
        """The mask of a case moved as its image is, by the nearest voxel; what comes in from outside is background.

        Arguments, return value and errors are those of `image`.
        """
        return self._moved(volume, spacing, case, 0)

    def _moved(self, volume: np.ndarray, spacing: Sequence[float], case: str, order: int) -> np.ndarray:
        if volume.ndim != 3 or len(spacing) != 3 or not all(0 < step < math.inf for step in spacing):
            raise ValueError(f"a volume of shape {volume.shape} and spacing {list(spacing)}: three of each are needed")
        if not (self.shift or self.rotation):
            return volume
        matrix, offset = self._source(volume.shape, np.array(spacing, float), case)
        outside = volume.min() if order else 0
        # grid-constant fades from the outermost voxels to the outside; constant drops what rounding puts beyond them
        return affine_transform(volume, matrix, offset, order=order, mode="grid-constant", cval=outside)

    def _source(self, shape: Sequence[int], spacing: np.ndarray, case: str) -> tuple[np.ndarray, np.ndarray]:
        """Matrix [3, 3] and offset [3] that say, in voxels, where the content of each moved voxel comes from."""
        rng = np.random.default_rng([self.seed, crc32(case.encode())])
        direction = rng.standard_normal(3)
        shift = self.shift * direction / np.linalg.norm(direction)
        angle = math.radians(self.rotation) * rng.choice([-1, 1])
        across = int(np.argmax(spacing))
        first, second = (axis for axis in range(3) if axis != across)
        turn = np.eye(3)
        turn[[first, second], [first, second]] = math.cos(angle)
        turn[first, second], turn[second, first] = -math.sin(angle), math.sin(angle)
        back = turn.T / spacing[:, None]  # from mm around the new place of the centre to voxels around the old one
        centre = (np.array(shape) - 1) / 2
        matrix = back * spacing
        return matrix, centre - matrix @ centre - back @ shift
