"""Overlap scores during training: each image counts once, on any number of processes."""

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from fovea.metrics.overlap import NAMES, scores_of_labels


class PerImage(Metric):
    """The mean over images of Dice, IoU, precision and recall, as defined in `fovea.metrics.overlap`.

    Scores are kept by image, so images that a sampler repeats to pad a batch do not count twice. `classes` are the
    channels of the network's output.
    """

    full_state_update = False
    index: list[Tensor]
    rows: list[Tensor]

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.add_state("index", default=[], dist_reduce_fx="cat")
        self.add_state("rows", default=[], dist_reduce_fx="cat")

    def update(self, prediction: Tensor, target: Tensor, index: Tensor) -> None:
        """Score label maps [B, *size] at native size, integer or boolean; pixels of -1 in the target are left out.

        `index` has the position of each image in its split, [B]. A ValueError if shapes or numbers of images differ, or
        the labels are not whole numbers.
        """
        if prediction.shape != target.shape or prediction.is_floating_point() or target.is_floating_point():
            raise ValueError(f"labels must be whole and of one shape, got {prediction.shape} and {target.shape}")
        pairs = zip(prediction.cpu().numpy(), target.cpu().numpy(), index, strict=True)
        scores = [scores_of_labels(labels, truth, self.classes) for labels, truth, _ in pairs]
        dtype = torch.float32 if self.device.type == "mps" else torch.float64  # which Apple's GPUs do not have
        rows = torch.tensor([[*values.values()] for values in scores], dtype=dtype, device=self.device)
        self.rows.append(rows)
        self.index.append(index.to(self.device))

    def compute(self) -> dict[str, Tensor]:
        """Return the mean of each score over the images, scalars; a ValueError if no image was scored."""
        if len(self.index) == 0:
            raise ValueError("no image was scored; check that the split is not empty")
        by_image = dict(zip(dim_zero_cat(self.index).tolist(), dim_zero_cat(self.rows), strict=True))
        # Sorted, so that the mean does not depend on which process scored an image.
        rows = torch.stack([by_image[number] for number in sorted(by_image)])
        return dict(zip(NAMES, rows.mean(dim=0), strict=True))
