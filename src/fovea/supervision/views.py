"""Random views of normalized images and volumes, made on their device from torch's generators, so that runs resume."""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fovea.runtime.bounds import Fraction, NonNegative
from fovea.supervision.batch import Image
from fovea.supervision.modalities import apply


class View(nn.Module):
    """Change brightness, contrast and color, blur, and add noise. Geometry stays, and so do the labels.

    All are drawn for each image. The unit of intensity is that of the normalized image: 1 is one standard deviation of
    the data, about 0.22 of the range of a natural image.

    Args:
        jitter: Contrast changes by a factor from 1 - jitter to 1 + jitter; each channel is shifted by up to +-jitter.
        blur: The largest standard deviation of a Gaussian, in pixels.
        noise: The largest standard deviation of the noise.
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


def cut_mix(image: Image, largest: Fraction) -> Callable[[Tensor], Tensor]:
    """Draw a box and another image for each image; return what pastes that box of the other one, in images and labels.

    The box covers from 0 to `largest` of the image, with its proportions. All modalities get the same one. Yun et al.,
    "CutMix", ICCV 2019.
    """
    first = next(iter(image.values())) if isinstance(image, Mapping) else image
    number, axes = len(first), first.dim() - 2
    share = first.new_empty(number, 1).uniform_(0, largest).pow(1 / axes)
    start = (1 - share) * first.new_empty(number, axes).uniform_()
    other = torch.roll(torch.arange(number, device=first.device), 1)

    def paste(values: Tensor) -> Tensor:
        inside = torch.ones((), dtype=torch.bool, device=values.device)
        for axis, side in enumerate(values.shape[values.dim() - axes :]):
            place = (torch.arange(side, device=values.device) + 0.5) / side
            within = (place >= start[:, axis, None]) & (place < start[:, axis, None] + share)
            shape = [number, *[1] * (values.dim() - 1)]
            shape[values.dim() - axes + axis] = side
            inside = inside & within.view(shape)
        return torch.where(inside, values[other], values)

    return paste
