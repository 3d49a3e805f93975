import math

import pytest
import torch

from fovea.supervision.cross_pseudo import CrossPseudo, crossed

from . import streams


def mode(weight: float = 1.5) -> CrossPseudo:
    torch.manual_seed(0)
    return CrossPseudo(streams.cross, streams.loss(), weight)


def test_each_network_learns_the_likeliest_class_of_the_other() -> None:
    torch.manual_seed(0)
    first, second = torch.randn(2, 2, 3, 2, 2, 2, dtype=torch.float64)
    first.requires_grad_()
    terms = []
    for a, b in ((first, second), (second, first)):
        voxels = zip(a.movedim(1, -1).reshape(-1, 3), b.movedim(1, -1).reshape(-1, 3), strict=True)
        terms.append(torch.stack([-said.log_softmax(0)[other.argmax()] for said, other in voxels]).mean())

    torch.testing.assert_close(crossed({"ct": first}, {"ct": second}), sum(terms))
    torch.testing.assert_close(crossed({"ct": first, "mri": first}, {"ct": second, "mri": second}), sum(terms))


def test_the_terms_are_those_of_the_paper() -> None:
    module, batch = mode(weight=2.0), streams.two_streams()
    terms = module.losses(batch, progress=0.5)

    seen = [[network(batch[name]["image"]).logits for network in module.networks] for name in ("labeled", "unlabeled")]
    torch.testing.assert_close(terms["pseudo"], (crossed(*seen[0]) + crossed(*seen[1])) / 2)
    torch.testing.assert_close(terms["loss"], terms["supervised"] + 2 * math.exp(-1.25) * terms["pseudo"])


@torch.inference_mode()
def test_the_networks_begin_apart_and_the_first_predicts() -> None:
    module, image = mode().eval(), streams.volumes()
    first, second = (network(image).logits["ct"].softmax(1) for network in module.networks)

    assert not torch.allclose(first, second)
    torch.testing.assert_close(module(image, (8, 8, 8))["prediction"], first)


def test_a_negative_weight_is_refused() -> None:
    with pytest.raises(ValueError, match="give 0 or more"):
        mode(weight=-1.0)
