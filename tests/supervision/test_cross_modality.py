"""Cross-modality collaboration beyond the contract."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from fovea.models.by_modality import EachModality
from fovea.supervision.cross_modality import CrossModality

from . import tiny


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def mode(backbone: partial = tiny.cross, **options) -> CrossModality:
    return tiny.cross_modality(backbone, tiny.loss(), **options)


def gradient(module: nn.Module) -> Tensor:
    return torch.cat([value.grad.flatten() for value in module.parameters() if value.grad is not None])


@pytest.mark.parametrize("backbone", [tiny.cross, tiny.own])
@pytest.mark.parametrize("anatomical", [None, "prototype", "overlap"])
def test_unlabeled_terms_train_the_encoder(anatomical: str | None, backbone: partial) -> None:
    module = mode(backbone, anatomical=anatomical or "prototype")
    terms = module.consistency(module.network(tiny.volumes(2)))
    terms["channel" if anatomical is None else "anatomical"].backward()
    for encoder in module.network.encoders:
        assert gradient(encoder).norm() > 1e-4
        assert all(value.grad is not None and value.grad.any() for value in encoder.parameters())


def test_loss_is_the_weighted_sum_of_its_terms() -> None:
    module = mode(start=0.5, channel_weight=2.0, anatomical_weight=3.0)
    terms = module.losses(tiny.two_streams(), progress=0.8)
    weights = {"channel": 2 * 0.8187307530779818, "anatomical": 3 * 0.09549150281252627}  # exp(-0.2), half a cosine
    expected = terms["supervised"] + sum(weight * terms[name] for name, weight in weights.items())
    torch.testing.assert_close(terms["loss"], expected)


def test_unlabeled_terms_begin_at_the_start() -> None:
    module = mode(start=0.5)
    batch = tiny.two_streams()
    before = module.losses(batch, progress=0.49)
    after = module.losses(batch, progress=0.5)
    assert before.keys() == after.keys()
    assert before["channel"] == 0 and torch.equal(before["loss"], before["supervised"])
    assert after["channel"] > 0 and after["anatomical"] > 0 and after["loss"] > after["supervised"]


def test_supervised_is_the_mean_over_modalities() -> None:
    module, labeled = mode(), tiny.two_streams()["labeled"]
    logits = module.network(labeled["image"]).logits
    single = [module.loss(logits[name], labeled["mask"][name]) for name in tiny.NAMES]
    terms = module.losses({"labeled": labeled, "unlabeled": labeled}, progress=0.0)
    torch.testing.assert_close(terms["supervised"], sum(single) / 2)


@torch.inference_mode()
def test_first_modality_is_predicted() -> None:
    module, image = mode().eval(), tiny.volumes()
    swapped = {name: image[name] for name in reversed(tiny.NAMES)}
    logits = module.network(image).logits
    for order, first in ((image, "ct"), (swapped, "mri")):
        expected = logits[first].softmax(dim=1)
        torch.testing.assert_close(module(order, (8, 8, 8))["prediction"], expected)
    alone = module({"mri": image["mri"]}, (8, 8, 8))["prediction"]
    assert alone.shape == (1, 3, 8, 8, 8)
    assert not torch.allclose(alone, module(swapped, (8, 8, 8))["prediction"])


@pytest.mark.parametrize("image", [torch.zeros(1, 1, 8, 8), {}, {"pet": torch.zeros(1, 1, 8, 8, 8)}])
def test_other_images_are_refused(image: object) -> None:
    with pytest.raises(ValueError, match="reads"):
        mode()(image, (8, 8, 8))


@pytest.mark.parametrize(
    "backbone", [tiny.early, partial(EachModality, ["ct"], 1, 3, tiny.UNET), partial(nn.Conv3d, 1, 1, 1)]
)
def test_other_backbones_are_refused(backbone: partial) -> None:
    with pytest.raises(ValueError, match="choose backbone=cross_modality"):
        mode(backbone)


def test_one_class_is_refused() -> None:
    with pytest.raises(ValueError, match=r"data\.classes=2"):
        mode(partial(EachModality, ["ct", "mri"], 1, 1, tiny.UNET))


@pytest.mark.parametrize("anatomical", ["prototype", "overlap"])
def test_half_precision(anatomical: str) -> None:
    module, batch = mode(start=0.0, anatomical=anatomical), tiny.two_streams()
    full = module.losses(batch, progress=0.5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = module.losses(batch, progress=0.5)
    assert half["channel"].dtype == half["anatomical"].dtype == torch.float32
    for name, value in full.items():
        torch.testing.assert_close(half[name].float(), value, rtol=0.05, atol=0.02)
