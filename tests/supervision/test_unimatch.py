"""UniMatch beyond the contract."""

from typing import Any

import pytest
import torch

from fovea.supervision.unimatch import UniMatch
from fovea.supervision.views import View

from . import tiny

VIEW = View(jitter=0.0, blur=0.0, noise=0.0)


def build(confidence: float = 0.5, dropped: float = 0.0, **options: Any) -> UniMatch:
    torch.manual_seed(0)
    chosen: dict[str, Any] = {"cutmix": 0.0, "across": False, "weight": 1.0, "start": 0.0, "decay": 0.0, **options}
    return UniMatch(tiny.TinyBackbone, tiny.loss(1), VIEW, confidence=confidence, dropped=dropped, **chosen)


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
    terms = build(confidence=0.52).losses(streams(), progress=0.5)
    assert 0 < terms["taught"] < 1
    unlabeled = terms["taught"] * (terms["strong"] + terms["features"]) / 2
    torch.testing.assert_close(terms["loss"], (terms["supervised"] + unlabeled) / 2)


def test_labels_have_no_gradient() -> None:
    mode, batch = build(), streams()
    mode.losses(batch, progress=0.5)["strong"].backward()
    found = [value.grad.clone() for value in mode.parameters()]
    mode.zero_grad()
    logits = mode.network(batch["unlabeled"]["image"])
    torch.nn.functional.binary_cross_entropy_with_logits(logits, (logits > 0).float()).backward()
    for gradient, value in zip(found, mode.parameters(), strict=True):
        torch.testing.assert_close(gradient, value.grad)


def test_before_the_start_only_labeled_cases_count() -> None:
    mode, batch = build(start=0.3), streams()
    terms = mode.losses(batch, progress=0.29)
    assert terms["strong"] == terms["features"] == terms["taught"] == 0
    torch.testing.assert_close(terms["loss"], terms["supervised"] / 2)
    assert mode.losses(batch, progress=0.3)["strong"] > 0


def test_the_average_labels_and_predicts() -> None:
    mode, image = build(decay=0.5), torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        mode.average.module.head[0].bias.add_(100.0)  # the average says foreground everywhere
    assert mode.eval()(image, (16, 16))["prediction"].min() > 0.99
    terms = mode.losses({"labeled": tiny.labeled(image, 1), "unlabeled": {"image": image}}, progress=0.5)
    logits = mode.network(image)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, torch.ones_like(logits))
    torch.testing.assert_close(terms["strong"], expected)
    torch.testing.assert_close(terms["features"], expected)


@pytest.mark.parametrize("backbone", [tiny.cross, tiny.separate, tiny.early], ids=["cross", "separate", "early"])
def test_features_of_volumes_are_dropped(backbone: Any) -> None:
    torch.manual_seed(0)
    options = {"confidence": 0.0, "weight": 1.0, "across": False, "start": 0.0, "decay": 0.0}
    terms = UniMatch(backbone, tiny.loss(3), VIEW, cutmix=0.0, dropped=0.5, **options).losses(tiny.two_streams(), 0.5)
    assert terms["features"] != terms["strong"]
