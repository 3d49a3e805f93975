"""The cross-modality mode beyond the contract: what its terms train, when, and what it refuses."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from fovea.models.by_modality import ByModality
from fovea.models.each_modality import EachModality
from fovea.supervision.cross_modality import CrossModality
from fovea.supervision.two_streams import supervised_loss

from . import streams


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def mode(backbone: partial = streams.cross, **options) -> CrossModality:
    return CrossModality(backbone, streams.loss(), **options)


def gradient(module: nn.Module) -> Tensor:
    return torch.cat([value.grad.flatten() for value in module.parameters() if value.grad is not None])


def only(anatomical: str | None) -> CrossModality:
    """A mode with one unlabelled term: that of this name, or the channels'."""
    if anatomical is None:
        return mode(start=0.0, anatomical_weight=0.0)
    return mode(start=0.0, channel_weight=0.0, anatomical=anatomical)


@pytest.mark.parametrize("backbone", [streams.cross, streams.own])
@pytest.mark.parametrize("anatomical", [None, "prototype", "overlap"])
def test_unlabelled_terms_alone_train_the_encoder(anatomical: str | None, backbone: partial) -> None:
    module = mode(backbone, anatomical=anatomical or "prototype")
    terms = module.consistency(module.network(streams.volumes(2)))

    terms["channel" if anatomical is None else "anatomical"].backward()

    for encoder in module.network.encoders:
        assert gradient(encoder).norm() > 1e-4
        assert all(value.grad is not None and value.grad.any() for value in encoder.parameters())


@pytest.mark.parametrize("anatomical", [None, "prototype", "overlap"])
def test_each_unlabelled_term_falls_when_it_is_trained_alone(anatomical: str | None) -> None:
    module, image = only(anatomical), streams.volumes(2)
    name = "channel" if anatomical is None else "anatomical"
    optimizer = torch.optim.Adam(module.parameters(), 1e-2)
    history = []
    for _ in range(30):
        optimizer.zero_grad()
        value = module.consistency(module.network(image))[name]
        value.backward()
        optimizer.step()
        history.append(value.item())

    assert history[-1] < 0.9 * history[0]


def test_the_loss_is_the_weighted_sum_of_its_terms() -> None:
    module = mode(start=0.5, channel_weight=2.0, anatomical_weight=3.0)
    terms = module.losses(streams.two_streams(), progress=0.8)

    weights = {"channel": 2 * 0.8187307530779818, "anatomical": 3 * 0.09549150281252627}  # exp(-0.2), half a cosine
    expected = terms["supervised"] + sum(weight * terms[name] for name, weight in weights.items())
    torch.testing.assert_close(terms["loss"], expected)


def test_unlabelled_volumes_count_from_the_start_on() -> None:
    module = mode(start=0.5)
    batch = streams.two_streams()
    torch.testing.assert_close(module.ramps(0.49), {"channel": 0.0, "anatomical": 0.0})

    before = module.losses(batch, progress=0.49)
    after = module.losses(batch, progress=0.5)

    assert before.keys() == after.keys()
    assert before["channel"] == 0 and torch.equal(before["loss"], before["supervised"])
    assert after["channel"] > 0 and after["anatomical"] > 0 and after["loss"] > after["supervised"]


def test_the_supervised_term_is_the_mean_over_modalities() -> None:
    module, labeled = mode(), streams.two_streams()["labeled"]
    logits = module.network(labeled["image"]).logits

    single = [module.loss(logits[name], labeled["mask"][name]) for name in streams.NAMES]

    terms = module.losses({"labeled": labeled, "unlabeled": labeled}, progress=0.0)
    torch.testing.assert_close(terms["supervised"], sum(single) / 2)


@torch.inference_mode()
def test_the_first_modality_is_predicted_and_the_others_help() -> None:
    module, image = mode().eval(), streams.volumes()
    swapped = {name: image[name] for name in reversed(streams.NAMES)}
    logits = module.network(image).logits

    for given, first in ((image, "ct"), (swapped, "mri")):
        expected = logits[first].softmax(dim=1)
        torch.testing.assert_close(module(given, (8, 8, 8))["prediction"], expected)
    alone = module({"mri": image["mri"]}, (8, 8, 8))["prediction"]
    assert alone.shape == (1, 3, 8, 8, 8)
    assert not torch.allclose(alone, module(swapped, (8, 8, 8))["prediction"])


@pytest.mark.parametrize("image", [torch.zeros(1, 1, 8, 8), {}, {"pet": torch.zeros(1, 1, 8, 8, 8)}])
def test_images_of_another_kind_are_refused(image: object) -> None:
    with pytest.raises(ValueError, match="reads"):
        mode()(image, (8, 8, 8))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channel_weight": -1.0}, "give 0 or more"),
        ({"anatomical": "dice"}, "choose prototype or overlap"),
        ({"start": 1.0}, "below 1"),
        ({"side": 1}, "side of 2 or more"),
        ({"temperature": 0.0}, "temperature above 0"),
        ({"backbone": streams.early}, "choose backbone=cross_modality"),
        ({"backbone": partial(EachModality, ["ct"], 1, 3, streams.UNET)}, "choose backbone=cross_modality"),
        ({"backbone": partial(nn.Conv3d, 1, 1, 1)}, "reads volumes by modality"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mode(**options)


def test_a_batch_of_one_stream_is_refused() -> None:
    with pytest.raises(ValueError, match="labeled is missing"):
        mode().losses({"image": torch.zeros(1, 3, 8, 8)}, progress=0.0)
    with pytest.raises(ValueError, match="unlabeled is missing"):
        mode().losses({"labeled": streams.two_streams()["labeled"]}, progress=0.0)


def test_a_loss_of_images_is_refused() -> None:
    logits, masks = {"ct": torch.zeros(1, 3, 4, 4, 4)}, {"ct": torch.zeros(1, 4, 4, 4, dtype=torch.int64)}
    with pytest.raises(ValueError, match=r"BCEWithLogitsLoss takes no label maps.*choose loss=dice_ce"):
        supervised_loss(nn.BCEWithLogitsLoss(), logits, masks)
    assert supervised_loss(nn.CrossEntropyLoss(), logits, masks) > 0


def test_all_three_networks_are_of_the_kind_that_modes_read() -> None:
    assert all(isinstance(build(), ByModality) for build in (streams.cross, streams.each, streams.early))


@pytest.mark.parametrize("anatomical", ["prototype", "overlap"])
def test_half_precision_gives_about_the_same_loss(anatomical: str) -> None:
    module, batch = mode(start=0.0, anatomical=anatomical), streams.two_streams()
    full = module.losses(batch, progress=0.5)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = module.losses(batch, progress=0.5)

    assert half["channel"].dtype == half["anatomical"].dtype == torch.float32
    for name, value in full.items():
        torch.testing.assert_close(half[name].float(), value, rtol=0.05, atol=0.02)


@pytest.mark.parametrize("backbone", [streams.cross, streams.each, streams.early])
def test_networks_can_be_compiled_whole(backbone: partial) -> None:
    network, image = backbone(), streams.volumes()
    expected = network(image).logits["mri"]

    network.compile(backend="eager", fullgraph=True)

    torch.testing.assert_close(network(image).logits["mri"], expected)
