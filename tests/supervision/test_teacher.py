"""The teacher of the band, beyond the contract."""

import math

import pytest
import torch

from fovea.losses.ignore import IgnoreLabel
from fovea.supervision.teacher import Teacher
from fovea.supervision.views import View

from . import tiny


def build(confidence: float = 0.0, cutmix: float = 0.0) -> Teacher:
    torch.manual_seed(0)
    view = View(jitter=0.0, blur=0.0, noise=0.0)
    return Teacher(tiny.TinyBackbone, tiny.loss(1), [0.6, 0.4], view, cutmix, confidence, weight=2.0, decay=0.9)


def test_terms_of_the_band() -> None:
    mode, batch = build(), tiny.labeled(torch.rand(2, 3, 16, 16), 1)
    mode.student.head[0].weight.data.add_(0.5)  # differs from its teacher
    terms = mode.losses(batch, progress=0.5)
    pseudo, logits = batch["pseudo"], mode.student(batch["image"])
    certain = (pseudo >= 0.6) | (pseudo < 0.4)
    bce = torch.nn.functional.binary_cross_entropy_with_logits
    supervised = bce(logits[certain], (pseudo >= 0.6).float()[certain])
    band = bce(logits[~certain], (mode.teacher(batch["image"]) > 0).float()[~certain])
    torch.testing.assert_close(terms["supervised"], supervised)
    torch.testing.assert_close(terms["band"], band)
    torch.testing.assert_close(terms["loss"], supervised + 2 * math.exp(-1.25) * band)
    assert terms["certain"].item() == pytest.approx(certain.float().mean().item())
    assert terms["certain"] + terms["taught"] == pytest.approx(1.0)


def test_band_moves_with_the_pasted_boxes() -> None:
    mode, batch = build(cutmix=0.5), tiny.labeled(torch.rand(2, 3, 16, 16), 1)
    mode.student = mode.teacher.module = torch.nn.Conv2d(3, 1, 1)  # by pixel, so a mixed target is that of the mix
    seen = []
    mode.loss = IgnoreLabel(lambda logits, target: seen.append((logits, target)) or logits.mean())
    mode.losses(batch, progress=1.0)
    logits, target = seen[1]
    assert torch.equal((logits > 0).float(), target)


@pytest.mark.parametrize(("confidence", "value"), [(0.9999, None), (0.5, 0.5), (0.5, 0.0), (0.5, 1.0)])
def test_nothing_to_learn_is_finite(confidence: float, value: float | None) -> None:
    """No confident pixel; a map that is uncertain, background or foreground as a whole."""
    mode, batch = build(confidence, cutmix=0.4), tiny.labeled(torch.rand(2, 3, 16, 16), 1)
    if value is not None:
        batch["pseudo"] = torch.full_like(batch["pseudo"], value)
    terms = mode.losses(batch, progress=1.0)
    terms["loss"].backward()
    assert all(torch.isfinite(term) for term in terms.values())
    assert all(parameter.grad is not None for parameter in mode.student.parameters())
    assert all(parameter.grad is None for parameter in mode.teacher.parameters())
    if value is None or value in (0.0, 1.0):
        assert terms["band"] == 0 and terms["taught"] == 0
