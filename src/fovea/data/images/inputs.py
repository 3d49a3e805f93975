"""What a model of images predicts at once: an image, or slices that lie on one another."""

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import get_args

import nibabel as nib
import numpy as np
from PIL import Image

from fovea.data.images.dicom import ends, pixel_spacing, read_header
from fovea.data.images.files import pages_of, scaled
from fovea.data.images.series import Grid, Slice, grid_of
from fovea.data.predict_request import Axis
from fovea.data.volumes import nifti
from fovea.data.volumes.grid import longest_axis
from fovea.metrics.thresholds import quantized
from fovea.pictures.png import write_image
from fovea.runtime.bounds import Window
from fovea.runtime.files import write_bytes

Colors = Sequence[tuple[int, int, int]]
_AXES: tuple[Axis, ...] = get_args(Axis)


class Input:
    """An image or a stack of slices; everything raises ValueError with the path of a file that is invalid."""

    path: Path
    suffix = ".nii.gz"  # of the files to write
    foreground = 1  # the value of a single class in the mask file
    is_dicom = False

    @property
    def files(self) -> Sequence[Path]:
        """All files that are read."""
        return [self.path]

    def slices(self) -> Iterator[np.ndarray]:
        """Yield the slices, uint8 [H, W, C]."""
        raise NotImplementedError

    def pixel_size(self) -> float | None:
        """Return the area of a pixel in mm², or its volume in mm³; None if it is unknown."""
        return None

    def write(self, path: Path, values: np.ndarray, colors: Colors) -> None:
        """Write labels (uint8) or probabilities (float32, no colors) of all slices, [H, W] or [D, H, W]."""
        raise NotImplementedError


@dataclass
class Picture(Input):
    """One image in a file. Its mask is a PNG file."""

    path: Path
    read: Callable[[Path], np.ndarray]
    is_dicom: bool = False
    suffix = ".png"
    foreground = 255

    def slices(self) -> Iterator[np.ndarray]:
        yield self.read(self.path)

    def pixel_size(self) -> float | None:
        sides = pixel_spacing(read_header(self.path)) if self.is_dicom else None
        return None if sides is None else sides[0] * sides[1]

    def write(self, path: Path, values: np.ndarray, colors: Colors) -> None:
        write_image(path, _integers(values), colors)


@dataclass
class Pages(Input):
    """A TIFF of several pages of one size. Its mask is such a file too."""

    path: Path
    read: Callable[[Path, int], np.ndarray]
    suffix = ".tif"
    foreground = 255

    def slices(self) -> Iterator[np.ndarray]:
        first = self.read(self.path, 0)
        yield first
        for page in range(1, pages_of(self.path)):
            pixels = self.read(self.path, page)
            if pixels.shape != first.shape:
                sizes = ", ".join(f"{each.shape[1]} x {each.shape[0]}" for each in (first, pixels))
                raise ValueError(f"{self.path}: pages of mixed sizes ({sizes}); save those of each size as a file")
            yield pixels

    def write(self, path: Path, values: np.ndarray, colors: Colors) -> None:
        pages, content = [Image.fromarray(page) for page in _integers(values)], io.BytesIO()
        for page in pages if colors else ():
            page.putpalette([part for color in colors for part in color])
        pages[0].save(content, "TIFF", save_all=True, append_images=pages[1:], compression="tiff_adobe_deflate")
        write_bytes(path, content.getvalue())


@dataclass
class Series(Input):
    """DICOM slices of one series in a folder. Its mask is a NIfTI file."""

    path: Path
    placed: Sequence[Slice]
    read: Callable[[Path], np.ndarray]
    is_dicom = True

    @cached_property
    def grid(self) -> Grid:
        """The slices in their order."""
        return grid_of(self.placed)

    @property
    def files(self) -> Sequence[Path]:
        return [each.path for each in self.placed]

    def slices(self) -> Iterator[np.ndarray]:
        yield from map(self.read, self.grid.files)

    def pixel_size(self) -> float | None:
        return float(abs(np.linalg.det(self.grid.affine[:3, :3])))

    def write(self, path: Path, values: np.ndarray, colors: Colors) -> None:
        image = nib.Nifti1Image(values.transpose(2, 1, 0), self.grid.affine)
        image.header.set_xyzt_units("mm")
        nifti.save(path, image)


@dataclass
class Volume(Input):
    """A NIfTI file, slice by slice in radiological view, as DICOM has it: right is left, the front and the head are up.

    Slices are across `axis`, or across the longest sides of voxels. `window` has the values that become 0 and 255;
    without it each slice is scaled from its lowest to its highest value if `stretched`.
    """

    path: Path
    axis: Axis | None
    window: Window | None
    stretched: bool
    channels: int

    @cached_property
    def order(self) -> tuple[int, int, int]:
        """The axes of RAS across the slices, along their columns and along their rows."""
        across = _AXES.index(self.axis) if self.axis else longest_axis(nifti.read_header(self.path))
        if across is None:
            fix = "set axis to axial, coronal or sagittal, the direction of the slices that the model was trained on"
            raise ValueError(f"{self.path}: no axis has longer voxels than the others; {fix}")
        if self.axis is None:
            nifti.log_once(f"slices of NIfTI are across the longest voxels: {_AXES[across]}; set axis to choose")
        row, column = (other for other in range(3) if other != across)
        return across, column, row

    def slices(self) -> Iterator[np.ndarray]:
        voxels = np.flip(nifti.read_volume(self.path), self.order[1:]).transpose(self.order)
        eight_bit = nifti.stored_type(self.path) == np.uint8
        for values in voxels:
            low, high = self.window or ends(values, self.path, self.stretched, eight_bit)
            gray = scaled(values, low, high, self.stretched and self.window is None)
            yield np.repeat(gray[..., None], self.channels, axis=2)

    def pixel_size(self) -> float | None:
        return nifti.read_header(self.path).voxel

    def write(self, path: Path, values: np.ndarray, colors: Colors) -> None:
        back = np.argsort(self.order)
        nifti.write_voxels(path, np.flip(values.transpose(back), self.order[1:]), self.path)


def _integers(values: np.ndarray) -> np.ndarray:
    """Return labels as they are, and probabilities as 16 bits."""
    return values if values.dtype == np.uint8 else quantized(values)
