"""Where the voxels of a volume lie, and whether a mask has the grid of its volume."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np

LEAST, MOST, RATIO = 1e-6, 100.0, 200.0  # bounds of a voxel's sides in mm, and of the longest by the shortest
ALIKE = 0.01  # sides may differ by this part, and direction cosines by this much
APART = 0.1  # voxels; how far the corners may be apart


class Header(NamedTuple):
    """Geometry of a volume in RAS: its axes run from left to right, back to front, feet to head."""

    path: Path
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]  # sides of a voxel in mm
    affine: np.ndarray  # [4, 4], from voxels to mm

    @property
    def voxel(self) -> float:
        """The volume of a voxel in mm³; its sides need not be perpendicular."""
        return float(abs(np.linalg.det(self.affine[:3, :3])))


def longest_axis(header: Header) -> int | None:
    """Return the axis with the longest sides of voxels; None if no axis has longer sides than the others."""
    *_, second, longest = sorted(header.spacing)
    return header.spacing.index(longest) if longest > (1 + ALIKE) * second else None


def slice_axis(header: Header) -> int:
    """Return the axis across the slices, that of the longest sides of voxels; ValueError if no axis has longer ones."""
    axis = longest_axis(header)
    if axis is None:
        sides = " x ".join(f"{side:.4g}" for side in header.spacing)
        fix = "data.slices=true needs one longer side, use crops (data.slices=false)"
        raise ValueError(f"{header.path}: no axis across slices: voxels of {sides} mm; {fix}")
    return axis


def order_of(header: Header) -> tuple[int, int, int]:
    """Return the axes of a volume in RAS with the one across the slices last."""
    axis = slice_axis(header)
    first, second = (other for other in range(3) if other != axis)
    return first, second, axis


def slices_last(header: Header) -> Header:
    """Return the header of a volume whose axes are in the order of `order_of`."""
    a, b, c = order_of(header)
    shape, spacing = header.shape, header.spacing
    affine = header.affine[:, [a, b, c, 3]]
    return Header(header.path, (shape[a], shape[b], shape[c]), (spacing[a], spacing[b], spacing[c]), affine)


def in_plane(
    size: Sequence[int], spacing: Sequence[float | None] | None, slices: bool
) -> tuple[list[int], list[float | None] | None]:
    """Return the size and the spacing of crops; of slices, both are in their plane, and no slice is interpolated."""
    if not slices:
        return [*size], None if spacing is None else [*spacing]
    return [*size[:2]], None if spacing is None else [*spacing[:2], None]


def difference(mask: Header, volume: Header) -> str:
    """Describe how the grid of a mask differs from that of its volume; return an empty text for one grid.

    Positions are compared at the outer corners, in voxels. In a volume of few voxels, other sides or directions hardly
    move the corners, so these are compared as well.
    """
    if mask.shape != volume.shape:
        return f"shape {mask.shape}, but its volume has shape {volume.shape}"
    if not np.allclose(mask.spacing, volume.spacing, rtol=ALIKE, atol=0):
        sides, wanted = (" x ".join(f"{side:.4g}" for side in header.spacing) for header in (mask, volume))
        return f"voxels of {sides} mm, but those of its volume have {wanted} mm"
    directions = [header.affine[:3, :3] / header.spacing for header in (mask, volume)]
    if np.abs(directions[0] - directions[1]).max() > ALIKE:
        return "its axes have other directions than those of its volume"
    corners = np.array([*product(*((-0.5, side - 0.5) for side in mask.shape)), (0, 0, 0)])
    corners = np.column_stack([corners, np.ones(len(corners))])
    apart = np.abs(corners @ (np.linalg.inv(volume.affine) @ mask.affine).T - corners).max()
    return f"its voxels are up to {apart:.3g} voxels away from those of its volume" if apart > APART else ""
