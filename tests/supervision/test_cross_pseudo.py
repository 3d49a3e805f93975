import math

import torch
from torch.nn import functional as F

from fovea.supervision.cross_pseudo import CrossPseudo, crossed

from . import tiny


def mode(weight: float = 1.5) -> CrossPseudo:
    torch.manual_seed(0)
    return CrossPseudo(tiny.cross, tiny.loss(), weight)


def test_pseudo_labels_are_the_argmax() -> None:
    torch.manual_seed(0)
    first, second = torch.randn(2, 2, 3, 2, 2, 2, dtype=torch.float64)
    first.requires_grad_()
    terms = []
    for a, b in ((first, second), (second, first)):
        voxels = zip(a.movedim(1, -1).reshape(-1, 3), b.movedim(1, -1).reshape(-1, 3), strict=True)
        terms.append(torch.stack([-z.log_softmax(0)[other.argmax()] for z, other in voxels]).mean())
    torch.testing.assert_close(crossed({"ct": first}, {"ct": second}), sum(terms))
    torch.testing.assert_close(crossed({"ct": first, "mri": first}, {"ct": second, "mri": second}), sum(terms))
    one, other = torch.randn(2, 2, 1, 4, 4, dtype=torch.float64)  # of one class: 0 or 1
    terms = []
    for a, b in ((one, other), (other, one)):
        pairs = zip(a.flatten(), b.flatten(), strict=True)
        terms.append(torch.stack([F.softplus(-z) if label > 0 else F.softplus(z) for z, label in pairs]).mean())
    torch.testing.assert_close(crossed({"": one}, {"": other}), sum(terms))


def test_terms_of_the_paper() -> None:
    module, batch = mode(weight=2.0), tiny.two_streams()
    terms = module.losses(batch, progress=0.5)
    logits = [
        [network(batch[name]["image"]).logits for network in module.networks] for name in ("labeled", "unlabeled")
    ]
    torch.testing.assert_close(terms["pseudo"], (crossed(*logits[0]) + crossed(*logits[1])) / 2)
    torch.testing.assert_close(terms["loss"], terms["supervised"] + 2 * math.exp(-1.25) * terms["pseudo"])


@torch.inference_mode()
def test_networks_differ_and_the_first_predicts() -> None:
    module, image = mode().eval(), tiny.volumes()
    first, second = (network(image).logits["ct"].softmax(1) for network in module.networks)
    assert not torch.allclose(first, second)
    torch.testing.assert_close(module(image, (8, 8, 8))["prediction"], first)


def test_half_precision_is_computed_in_single() -> None:
    torch.manual_seed(0)
    first, second = torch.randn(2, 2, 3, 8, 8).bfloat16()
    expected = crossed({"": first.float()}, {"": second.float()})
    torch.testing.assert_close(crossed({"": first}, {"": second}), expected)
