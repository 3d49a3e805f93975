"""Random views of normalized images and volumes, made on their device from torch's generators, so that runs resume."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fovea.runtime.bounds import Fraction, NonNegative
from fovea.supervision.batch import Image
from fovea.supervision.modalities import UNNAMED, apply, by_name, next_modality


class View(nn.Module):
    """Change brightness, contrast and color, blur, and add noise. Geometry stays, and so do the labels.

    All are drawn for each image. The unit of intensity is that of the normalized image: 1 is one standard deviation of
    the data, about 0.22 of the range of a natural image.

    Contrast changes by a factor from 1 - `jitter` to 1 + `jitter`, and each channel is shifted by up to +-`jitter`.
    `blur` (in pixels) and `noise` are the largest standard deviations of a Gaussian.
    """

    def __init__(self, jitter: Fraction, blur: NonNegative, noise: NonNegative) -> None:
        super().__init__()
        self.jitter, self.blur, self.noise = jitter, blur, noise

    def forward(self, image: Image) -> Image:
        """Return a view of an image [B, C, *size], or of each modality."""
        return apply(self._view, image)

    def _view(self, image: Tensor) -> Tensor:
        each = [len(image), *[1] * (image.dim() - 1)]
        mean = image.mean(dim=tuple(range(2, image.dim())), keepdim=True)
        factor = 1 + self.jitter * (2 * image.new_empty(each).uniform_() - 1)
        shift = self.jitter * (2 * torch.rand_like(mean) - 1)
        view = mean + shift + factor * (image - mean)
        if self.blur:
            view = gaussian(view, image.new_empty(len(image)).uniform_(0, self.blur), math.ceil(2 * self.blur))
        return view + self.noise * image.new_empty(each).uniform_() * torch.randn_like(image)


def gaussian(image: Tensor, sigma: Tensor, reach: int) -> Tensor:
    """Return images [B, C, *size], each blurred by its own Gaussian [B] in a window of 2 reach + 1 pixels."""
    offsets = torch.arange(-reach, reach + 1, device=image.device)
    kernel = torch.exp(-offsets.square() / (2 * sigma.clamp_min(1e-2).square()[:, None]))
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).to(image.dtype).repeat_interleave(image.shape[1], dim=0)
    axes = image.dim() - 2
    convolve = F.conv2d if axes == 2 else F.conv3d
    values = image.flatten(0, 1)[None]
    for axis in range(axes):
        padding = [0, 0] * (axes - 1 - axis) + [reach, reach] + [0, 0] * axis
        weight = kernel.view(len(kernel), 1, *[-1 if other == axis else 1 for other in range(axes)])
        values = convolve(F.pad(values, padding, mode="replicate"), weight, groups=len(kernel))
    return values.view(image.shape)


def boxes(image: Image, side: Tensor) -> Callable[[Tensor], Tensor]:
    """Draw a box in each image; return a function of tensors [B, C, *size] or [B, *size]: which pixels are inside.

    `side` [B] is the length of the sides of the box, as a part of those of the image. All modalities get the same box.
    """
    first = next(iter(by_name(image, [UNNAMED]).values()))
    axes, side = first.dim() - 2, side[:, None]
    start = (1 - side) * first.new_empty(len(first), axes).uniform_()

    def inside(values: Tensor) -> Tensor:
        found = torch.ones((), dtype=torch.bool, device=values.device)
        for axis in range(-axes, 0):
            place = (torch.arange(values.shape[axis], device=values.device) + 0.5) / values.shape[axis]
            within = (place >= start[:, axis, None]) & (place < start[:, axis, None] + side)
            found = found & within.view(len(start), *[-1 if at == axis else 1 for at in range(1 - values.dim(), 0)])
        return found

    return inside


def cut_mix(image: Image, largest: Fraction, across: bool = False) -> Callable[[Image], Image]:
    """Draw a box in each image; return the function that fills it from the image before it in the batch.

    The function is for images and for labels. The box covers from 0 to `largest` of the image, with its proportions.
    With `across`, it is filled from the next modality. Yun et al., "CutMix", ICCV 2019.
    """
    first = next(iter(by_name(image, [UNNAMED]).values()))
    share = first.new_empty(len(first)).uniform_(0, largest)
    inside = boxes(image, share.pow(1 / (first.dim() - 2)))

    def paste(values: Image) -> Image:
        if isinstance(values, Tensor):
            return torch.where(inside(values), values.roll(1, dims=0), values)
        others = next_modality(values) if across else values
        return {name: torch.where(inside(own), others[name].roll(1, dims=0), own) for name, own in values.items()}

    return paste
