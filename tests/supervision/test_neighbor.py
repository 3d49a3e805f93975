"""Votes of neighbors, beyond the contract."""

import pytest
import torch
from torch import nn

from fovea.losses.ignore import IGNORE
from fovea.supervision.neighbor import Neighbor, votes
from fovea.supervision.views import View

from . import tiny


def build(agreement: float = 0.9, samples: int = 40, noise: float = 0.0) -> Neighbor:
    torch.manual_seed(0)
    view = View(jitter=0.0, blur=0.0, noise=noise)
    return Neighbor(tiny.TinyBackbone, tiny.loss(1), [0.6, 0.4], view, 3, samples, agreement, 0.1, 1.0, 0.5, 0.2)


def test_votes_of_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    monkeypatch.setattr("fovea.supervision.neighbor.ROWS", 7)
    features, voters, label = torch.randn(30, 5), torch.randn(20, 5), torch.randint(0, 2, (20,))
    for neighbors in (1, 4, 50):
        expected = []
        for feature in features:
            scores = [torch.cosine_similarity(feature, voter, dim=0).item() for voter in voters]
            near = sorted(range(20), key=lambda i, s=scores: -s[i])[:neighbors]
            expected.append(sum(scores[i] * (1 if label[i] else -1) for i in near) > 0)
        assert votes(features, voters, label, neighbors).tolist() == expected


def test_votes_of_almost_equal_voters_in_half_precision() -> None:
    angles = torch.tensor([0.01, 0.02, 0.03])  # cosines of 0.99995, 0.9998 and 0.99955
    voters = torch.stack([angles.cos(), angles.sin()], dim=1)
    for place, label in enumerate(torch.eye(3)):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = votes(torch.tensor([[1.0, 0.0], [0.9996, 0.03]]), voters, label, neighbors=1)
        assert found.tolist() == [place == 0, place == 2]


def test_terms_of_the_band() -> None:
    mode, batch = build(), tiny.labeled(torch.rand(2, 3, 16, 16), 1)
    seen = []
    mode.loss = nn.Module()
    mode.loss.forward = lambda logits, target: seen.append(target) or logits.mean() * 0
    terms = mode.losses(batch, progress=0.5)
    labeled, voted = seen[0], seen[2]
    assert torch.equal(labeled, mode.thresholds.trimap(batch["pseudo"]))
    assert bool((voted[labeled != IGNORE] == IGNORE).all()) and bool((voted != IGNORE).any())
    assert terms["voted"] == (voted != IGNORE).float().mean()
    assert terms["views"].item() == pytest.approx(0, abs=1e-6)  # both views are the image
    torch.testing.assert_close(terms["loss"], 0.2 * terms["contrast"] + 0.5 * terms["views"])


def test_voters_are_as_many_of_each_label() -> None:
    labels = torch.tensor([[[0, 0, 0, 0, 1, IGNORE, 1, 1]]]).float()
    for samples, number in ((4, 2), (40, 3)):
        chosen = labels[build(samples=samples)._draw(labels)]
        assert chosen.tolist() == [0.0] * number + [1.0] * number


@pytest.mark.parametrize(
    ("agreement", "value"), [(1.0, None), (0.5, 0.5), (0.5, 0.0), (0.5, 1.0)], ids=["none agrees", "band", "no", "all"]
)
def test_nothing_to_vote_is_finite(agreement: float, value: float | None) -> None:
    """No pixel agrees in both views; a map that is uncertain, background or foreground as a whole."""
    mode, batch = build(agreement, noise=0.5), tiny.labeled(torch.rand(2, 3, 16, 16), 1)
    if value is not None:
        batch["pseudo"] = torch.full_like(batch["pseudo"], value)
    terms = mode.losses(batch, progress=1.0)
    terms["loss"].backward()
    assert all(torch.isfinite(term) for term in terms.values()) and terms["voted"] == 0 and terms["votes"] == 0
    assert all(torch.isfinite(parameter.grad).all() for parameter in mode.parameters())


def test_backbone_without_features_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^backbone: neighbor needs one with features, not Conv2d"):
        Neighbor(lambda: nn.Conv2d(3, 1, 1), tiny.loss(1), [0.5], nn.Identity(), 3, 4, 0.9, 0.1, 1.0, 1.0, 1.0)
