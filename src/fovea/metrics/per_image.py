"""Scores image by image, each image counted once on however many processes."""

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from fovea.metrics.overlap import NAMES, scores_of_labels


class PerImage(Metric):
    """Mean over images of Dice, IoU, precision and recall, by the rules of `fovea.metrics.overlap`.

    Scores are kept by image: a sampler that pads the last batch of a process with images scored elsewhere changes
    nothing.

    Args:
        classes: Channels of the network's output. 1: label maps are 0 or not; more: class 0 is the background and an
            image's score is the mean over the others.
    """

    full_state_update = False
    higher_is_better = True
    is_differentiable = False
    index: list[Tensor]
    rows: list[Tensor]

    def __init__(self, classes: int = 1) -> None:
        super().__init__()
        self.classes = classes
        self.add_state("index", default=[], dist_reduce_fx="cat")
        self.add_state("rows", default=[], dist_reduce_fx="cat")

    def update(self, prediction: Tensor, target: Tensor, index: Tensor) -> None:
        """Score label maps at native size.

        Args:
            prediction: Integer or boolean labels, [H, W] of one image or [B, ...] of a batch.
            target: True labels of the same shape.
            index: Number of each image in its data set, [B], or a scalar for one image.

        Raises:
            ValueError: the shapes or numbers of images differ, or the labels are not whole numbers.
        """
        if prediction.shape != target.shape or prediction.is_floating_point() or target.is_floating_point():
            raise ValueError(
                f"two label maps of one shape are compared: {prediction.dtype} {tuple(prediction.shape)} "
                f"and {target.dtype} {tuple(target.shape)}"
            )
        if prediction.dim() == 2:
            prediction, target = prediction.unsqueeze(dim=0), target.unsqueeze(dim=0)
        numbers = torch.as_tensor(index, device=self.device).reshape(-1)
        pairs = zip(prediction, target, numbers, strict=True)
        self.rows.append(torch.stack([self._score(guess, truth) for guess, truth, _ in pairs]).to(self.device))
        self.index.append(numbers)

    def _score(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Scores [4] of one image, float64."""
        found = scores_of_labels(prediction.cpu().numpy(), target.cpu().numpy(), self.classes)
        return torch.tensor([found[name] for name in NAMES], dtype=torch.float64)

    def compute(self) -> dict[str, Tensor]:
        """The mean of each score over the images, float64 scalars.

        Raises:
            ValueError: no image was scored.
        """
        if len(self.index) == 0:
            raise ValueError("no image was scored; check that the split lists images and that data.root holds them")
        by_image = dict(zip(dim_zero_cat(self.index).tolist(), dim_zero_cat(self.rows), strict=True))
        # Sorted, so that the mean does not depend on which process saw an image.
        rows = torch.stack([by_image[number] for number in sorted(by_image)])
        return dict(zip(NAMES, rows.mean(dim=0), strict=True))
