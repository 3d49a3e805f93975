"""The gated CRF loss: near pixels of like color get like labels."""

from itertools import product

import torch
from torch import Tensor, nn

from fovea.losses.cross_modality import single
from fovea.runtime.bounds import Count, NonNegative, Positive


class GatedCRF(nn.Module):
    """The energy of a dense CRF in a window around each pixel. It needs no label.

    With P_x the class probabilities of pixel x, and y the other pixels of its window,

        weight mean_x sum_y k(x, y) (1 - <P_x, P_y>),
        k(x, y) = exp(-|x - y|^2 / (2 sigma_place^2) - |I_x - I_y|^2 / (2 sigma_color^2)).

    Pixels beyond the border do not count. Obukhov et al., "Gated CRF Loss for Weakly Supervised Semantic Image
    Segmentation", 2019.

    Args:
        weight: Published is 0.1.
        reach: The window has 2 reach + 1 pixels along each axis.
        sigma_place: In pixels.
        sigma_color: In the unit of the image.
    """

    def __init__(self, weight: NonNegative, reach: Count, sigma_place: Positive, sigma_color: Positive) -> None:
        super().__init__()
        self.weight, self.reach, self.sigma_place, self.sigma_color = weight, reach, sigma_place, sigma_color

    def forward(self, logits: Tensor, image: Tensor) -> Tensor:
        """Return a scalar of logits [B, K, *size] and an image [B, C, *size]; K = 1 is a sigmoid, K > 1 a softmax."""
        logits, image = single(logits), single(image.detach())
        several = torch.cat([-logits / 2, logits / 2], dim=1) if logits.shape[1] == 1 else logits
        probability = several.softmax(dim=1)
        pairs, received = self._messages(probability.detach(), image)
        # The sum is a square form of the probabilities, so its gradient is twice what each pixel received.
        agreement = 2 * (probability * received).sum() - (probability.detach() * received).sum()
        return self.weight * (pairs - agreement) / probability[:, 0].numel()

    def _messages(self, probability: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sum of k over all pairs, and sum_y k(x, y) P_y of each pixel, [B, K, *size]."""
        axes, sides = image.dim() - 2, image.shape[2:]
        pairs, received = probability.new_zeros(()), torch.zeros_like(probability)
        for offset in product(range(-self.reach, self.reach + 1), repeat=axes):
            if offset <= (0,) * axes or any(abs(step) >= side for step, side in zip(offset, sides, strict=True)):
                continue  # each pair once
            here = (..., *[slice(max(step, 0), min(step, 0) or None) for step in offset])
            there = (..., *[slice(max(-step, 0), min(-step, 0) or None) for step in offset])
            color = (image[here] - image[there]).square().sum(dim=1, keepdim=True) / (2 * self.sigma_color**2)
            kernel = torch.exp(-color - sum(step**2 for step in offset) / (2 * self.sigma_place**2))
            pairs += 2 * kernel.sum()
            received[here] += kernel * probability[there]
            received[there] += kernel * probability[here]
        return pairs, received
