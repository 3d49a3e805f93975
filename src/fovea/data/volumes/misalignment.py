"""Move one modality away from the others, to measure how much misalignment a method tolerates."""

import math
from collections.abc import Sequence
from typing import Annotated
from zlib import crc32

import numpy as np
from pydantic import Field
from scipy.ndimage import affine_transform

from fovea.runtime.bounds import NonNegative, NonNegativeInt

Angle = Annotated[float, Field(strict=True, ge=0, le=180)]


class Misalignment:
    """Shift and turn the volumes of one modality by fixed amounts, in a random direction for each case.

    The direction of a shift is uniform on the sphere. A volume turns about its center, around the axis with the
    coarsest spacing, to a random side. The directions of a case depend on `seed` only, so a larger amount moves the
    case further in the same direction. `configs/data/paired_volumes.yaml` describes the arguments.
    """

    def __init__(self, modality: str | None, shift: NonNegative, rotation: Angle, seed: NonNegativeInt) -> None:
        self.modality, self.shift, self.rotation, self.seed = modality, shift, rotation, seed

    def move(self, volume: np.ndarray, spacing: Sequence[float], case: str, nearest: bool = False) -> np.ndarray:
        """Move a volume [D, H, W] of a case with these sides in mm; without amounts, return it unchanged.

        Images are interpolated linearly, and voxels from outside get the lowest value. Masks take the nearest voxel,
        and those from outside become background.
        """
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
        order, outside = (0, 0) if nearest else (1, volume.min())
        return affine_transform(volume, matrix, offset, order=order, mode="grid-constant", cval=outside)
