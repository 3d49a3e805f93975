"""Dice and cross-entropy of label maps, compared with a naive loop."""

import torch
from torch.nn import functional as F

from fovea.losses.dice_cross_entropy import DiceCrossEntropy


def test_sum_of_dice_and_cross_entropy() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 4, 4, generator=generator)
    labels = torch.randint(3, (2, 4, 4, 4), generator=generator)
    loss = DiceCrossEntropy(softmax=True, to_onehot_y=True, include_background=False, batch=True)
    dice = []
    for k in (1, 2):
        probability, truth = logits.softmax(dim=1)[:, k], (labels == k).float()
        dice.append(1 - 2 * (probability * truth).sum() / (probability.sum() + truth.sum()))
    expected = torch.stack(dice).mean() + F.cross_entropy(logits, labels)
    torch.testing.assert_close(loss(logits, labels), expected)
