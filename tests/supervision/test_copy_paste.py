"""Bidirectional copy-paste beyond the contract."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fovea.losses.ignore import IGNORE
from fovea.models.by_modality import Outputs
from fovea.supervision.copy_paste import CopyPaste

from . import tiny


class Echo(nn.Module):
    """A network whose logits are the image, so that a mix and its target are compared pixel by pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, image: Any) -> Any:
        if isinstance(image, Tensor):
            return self.scale * image
        return Outputs({name: self.scale * values for name, values in image.items()}, {})


class Seen(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pairs: list[tuple[Tensor, Tensor]] = []

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        self.pairs.append((logits.detach(), target))
        return logits.mean()


def build(start: float = 0.0, across: bool = False) -> CopyPaste:
    torch.manual_seed(0)
    mode = CopyPaste(Echo, nn.Identity(), side=2 / 3, start=start, weight=0.5, across=across, decay=0.9)
    mode.loss = Seen()
    return mode


def flat(values: list[float], size: tuple[int, ...] = (12, 12)) -> Tensor:
    return torch.tensor(values).view(-1, 1, *[1] * len(size)).expand(-1, 1, *size).clone()


def test_both_mixes_and_their_targets() -> None:
    """Labeled images are 10 and 20, unlabeled ones 3, 4 and -5: the teacher says 1, 1, 0. The first wraps around."""
    mode = build()
    labeled = {"image": flat([10.0, 20.0]), "mask": flat([0.0, 1.0])}
    terms = mode.losses({"labeled": labeled, "unlabeled": {"image": flat([3.0, 4.0, -5.0])}}, progress=0.5)
    torch.testing.assert_close(terms["loss"], terms["supervised"] + 0.5 * terms["other"])
    inner, outer = mode.loss.pairs[:2], mode.loss.pairs[2:]
    for (mixed, kept), (_, rest) in (inner, outer):
        for b, (case, mask, other, label) in enumerate([(10, 0, 3, 1), (20, 1, 4, 1), (10, 0, -5, 0)]):
            assert kept[b][mixed[b] == case].unique().tolist() == [mask]
            assert rest[b][mixed[b] == other].unique().tolist() == [label]
            assert bool((kept[b][mixed[b] == other] == IGNORE).all() and (rest[b][mixed[b] == case] == IGNORE).all())
    assert (inner[0][0][0] == 10).sum() == (outer[0][0][0] == 3).sum() == 64  # the box: 8 x 8 of 12 x 12


def test_labeled_cases_are_mixed_until_the_start() -> None:
    mode = build(start=0.5)
    labeled = {"image": flat([10.0, 20.0]), "mask": flat([0.0, 1.0])}
    terms = mode.losses({"labeled": labeled, "unlabeled": {"image": flat([3.0])}}, progress=0.4)
    assert {value for mixed, _ in mode.loss.pairs for value in mixed.unique().tolist()} == {10.0, 20.0}
    torch.testing.assert_close(terms["loss"], terms["supervised"] + terms["other"])


def test_across_mixes_with_the_next_modality() -> None:
    mode = build(across=True)
    image = {"ct": flat([10.0], (6, 6, 6)), "mri": flat([20.0], (6, 6, 6))}
    other = {"ct": flat([3.0], (6, 6, 6)), "mri": flat([-4.0], (6, 6, 6))}
    mode.losses({"labeled": {"image": image, "mask": flat([1.0], (6, 6, 6))}, "unlabeled": {"image": other}}, 0.5)
    (ct, _), (mri, _), (_, rest), _ = mode.loss.pairs[:4]
    assert set(ct.unique().tolist()) == {10.0, -4.0} and set(mri.unique().tolist()) == {20.0, 3.0}
    assert set(rest.unique().tolist()) == {IGNORE, 0.0}


@pytest.mark.parametrize("progress", [0.1, 0.9])
def test_one_labeled_case_of_background_is_finite(progress: float) -> None:
    torch.manual_seed(0)
    mode = CopyPaste(tiny.TinyBackbone, tiny.loss(1), 2 / 3, start=0.5, weight=0.5, across=False, decay=0.9)
    labeled = {"image": torch.rand(1, 3, 16, 16), "mask": torch.zeros(1, 1, 16, 16)}
    terms = mode.losses({"labeled": labeled, "unlabeled": {"image": torch.rand(3, 3, 16, 16)}}, progress)
    terms["loss"].backward()
    assert all(torch.isfinite(term) for term in terms.values())
