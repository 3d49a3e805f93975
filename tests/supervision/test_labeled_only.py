"""The baseline of labelled volumes alone."""

from functools import partial

import pytest
import torch

from fovea.supervision.labeled_only import LabeledOnly

from . import streams


@pytest.mark.parametrize("backbone", [streams.cross, streams.each, streams.early])
def test_it_is_the_supervised_loss_of_labelled_volumes(backbone: partial) -> None:
    torch.manual_seed(0)
    module, labeled = LabeledOnly(backbone, streams.loss()), streams.two_streams()["labeled"]
    terms = module.losses({"labeled": labeled}, progress=0.0)
    logits = module.network(labeled["image"]).logits
    single = [module.loss(logits[name], labeled["mask"][name]) for name in streams.NAMES]
    assert terms.keys() == {"loss"}
    torch.testing.assert_close(terms["loss"], sum(single) / 2)


def test_no_unlabelled_stream_is_asked_for() -> None:
    assert LabeledOnly.needs == {"mask"}
