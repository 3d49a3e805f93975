"""Move one modality away from the others, to measure how much misalignment a method tolerates."""

import math
from collections.abc import Sequence
from typing import Annotated
from zlib import crc32

import numpy as np
from pydantic import Field
from scipy.ndimage import affine_transform

from fovea.runtime.bounds import NonNegative, NonNegativeInt


class Misalignment:
    """Shift and turn the volumes of one modality by fixed amounts, in a random direction for each case.

    The direction of a shift is uniform on the sphere. A volume turns about its center, around the axis with the
    coarsest spacing, to a random side. The directions of a case depend on `seed` only, so a larger amount moves the
    case further in the same direction.

    Args:
        modality: Name of the modality to move; None: the last one.
        shift: Length in mm.
        rotation: Angle in degrees.
        seed: Seed of the directions.
    """

    def __init__(
        self,
        modality: str | None,
        shift: NonNegative,
        rotation: Annotated[float, Field(strict=True, ge=0, le=180)],
        seed: NonNegativeInt,
    ) -> None:
        self.modality = modality
        self.shift = shift
        self.rotation = rotation
        self.seed = seed

    def image(self, volume: np.ndarray, spacing: Sequence[float], case: str) -> np.ndarray:
        """Move the image of a case, with linear interpolation; voxels from outside get its lowest value.

        Args:
            volume: [D, H, W].
            spacing: Sides of its voxels in mm, along D, H and W.
            case: The id of the case.

        Returns:
            [D, H, W] of the same type; `volume` itself if both amounts are 0.
        """
        return self._move(volume, spacing, case, order=1, outside=volume.min())

    def mask(self, volume: np.ndarray, spacing: Sequence[float], case: str) -> np.ndarray:
        """Move the mask of a case like its image, by the nearest voxel; voxels from outside become background."""
        return self._move(volume, spacing, case, order=0, outside=0)

    def _move(self, volume: np.ndarray, spacing: Sequence[float], case: str, order: int, outside: float) -> np.ndarray:
        if not (self.shift or self.rotation):
            return volume
        rng = np.random.default_rng([self.seed, crc32(case.encode())])
        direction = rng.standard_normal(3)
        shift = self.shift * direction / np.linalg.norm(direction)
        angle = math.radians(self.rotation) * rng.choice([-1, 1])
        first, second = (axis for axis in range(3) if axis != int(np.argmax(spacing)))
        turn = np.eye(3)
        turn[[first, second], [first, second]] = math.cos(angle)
        turn[first, second], turn[second, first] = -math.sin(angle), math.sin(angle)
        back = turn.T / np.array(spacing, float)[:, None]  # from mm about the new center to voxels about the old one
        center = (np.array(volume.shape) - 1) / 2
        matrix = back * np.array(spacing, float)
        offset = center - matrix @ center - back @ shift
        # grid-constant fades from the outermost voxels to the outside; constant drops what rounding puts beyond them
        return affine_transform(volume, matrix, offset, order=order, mode="grid-constant", cval=outside)
