"""UniMatch beyond the contract."""

import pytest
import torch

from fovea.supervision.unimatch import UniMatch
from fovea.supervision.views import View

from . import tiny


def build(confidence: float = 0.5, dropped: float = 0.0) -> UniMatch:
    torch.manual_seed(0)
    view = View(jitter=0.0, blur=0.0, noise=0.0)
    return UniMatch(tiny.TinyBackbone, tiny.loss(1), view, 0.0, confidence, dropped, weight=1.0)


def streams() -> dict:
    image = torch.rand(2, 3, 16, 16)
    return {"labeled": tiny.labeled(image, 1), "unlabeled": {"image": torch.rand(3, 3, 16, 16)}}


def test_terms_and_weights_of_the_paper() -> None:
    mode, batch = build(), streams()
    terms = mode.losses(batch, progress=0.5)
    logits = mode.network(batch["unlabeled"]["image"])
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, (logits > 0).float())
    torch.testing.assert_close(terms["strong"], expected)  # the views do not differ, and no feature is dropped
    torch.testing.assert_close(terms["features"], expected)
    total = terms["supervised"] + terms["strong"] / 2 + terms["features"] / 2  # each strong view a quarter
    torch.testing.assert_close(terms["loss"], total / 2)
    assert build(dropped=0.5).losses(batch, progress=0.5)["features"] != expected


def test_only_confident_labels_count() -> None:
    terms = build(confidence=0.9999).losses(streams(), progress=0.5)
    assert terms["strong"] == terms["features"] == terms["taught"] == 0
    assert terms["loss"].item() == pytest.approx(terms["supervised"].item() / 2)


def test_labels_have_no_gradient() -> None:
    mode, batch = build(), streams()
    mode.losses(batch, progress=0.5)["strong"].backward()
    found = [value.grad.clone() for value in mode.parameters()]
    mode.zero_grad()
    logits = mode.network(batch["unlabeled"]["image"])
    torch.nn.functional.binary_cross_entropy_with_logits(logits, (logits > 0).float()).backward()
    for gradient, value in zip(found, mode.parameters(), strict=True):
        torch.testing.assert_close(gradient, value.grad)
