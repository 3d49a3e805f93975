"""Means over images of a metric on several processes."""

import numpy as np
import pytest
import torch
from torch import Tensor

from fovea.losses import IGNORE
from fovea.metrics.overlap import scores
from fovea.metrics.per_image import PerImage


def draw(number: int, seed: int = 0, classes: int = 2) -> tuple[Tensor, Tensor]:
    labels = torch.randint(0, classes, (2, number, 5, 6), generator=torch.Generator().manual_seed(seed))
    return labels[0], labels[1]


def test_images_of_two_sizes() -> None:
    pairs = [draw(1, 1), tuple(labels[:, :3] for labels in draw(1, 2))]
    metric = PerImage(1)
    for number, (prediction, target) in enumerate(pairs):
        metric.update(prediction, target, torch.tensor([number]))
    expected = [scores(prediction.numpy(), target.numpy()) for prediction, target in pairs]
    means = {name: np.mean([score[name] for score in expected]) for name in expected[0]}
    assert {name: float(value) for name, value in metric.compute().items()} == pytest.approx(means)


def test_two_processes_agree_with_one_and_an_image_counts_once() -> None:
    prediction, target = draw(5)
    order = torch.tensor([4, 2, 0, 1, 3, 4])  # the padding repeats image 4
    whole, padded, merged = PerImage(1), PerImage(1), PerImage(1)
    whole.update(prediction, target, torch.arange(5))
    padded.update(prediction[order], target[order], order)
    halves = [PerImage(1), PerImage(1)]
    for rank, half in enumerate(halves):
        half.update(prediction[order[rank::2]], target[order[rank::2]], order[rank::2])
    merged.update(prediction[:1], target[:1], torch.tensor([0]))
    merged.index = torch.cat([half.index[0] for half in halves])  # what a cat state is after the reduction
    merged.rows = torch.cat([half.rows[0] for half in halves])
    assert merged.compute() == padded.compute() == whole.compute()


def test_mean_over_classes_and_labeled_pixels() -> None:
    prediction, target = draw(1, classes=3)
    target[0, :2] = IGNORE
    metric = PerImage(classes=3)
    metric.update(prediction, target, torch.tensor([0]))
    masks = [((prediction[:, 2:] == label).numpy(), (target[:, 2:] == label).numpy()) for label in (1, 2)]
    assert metric.compute()["dice"].item() == pytest.approx(np.mean([scores(*pair)["dice"] for pair in masks]))


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
@pytest.mark.parametrize(
    ("prediction", "target", "index"),
    [
        (torch.zeros(2, 3, 3), torch.zeros(2, 3, 3, dtype=torch.long), torch.arange(2)),
        (torch.zeros(2, 3, 3).long(), torch.zeros(2, 3, 4).long(), torch.arange(2)),
        (torch.zeros(2, 3, 3).long(), torch.zeros(2, 3, 3).long(), torch.arange(3)),
    ],
)
def test_mismatches_and_no_image_are_refused(prediction: Tensor, target: Tensor, index: Tensor) -> None:
    with pytest.raises(ValueError, match=r"of one shape|argument"):
        PerImage(1).update(prediction, target, index)
    with pytest.raises(ValueError, match="no image was scored"):
        PerImage(1).compute()
