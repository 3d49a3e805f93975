"""Networks that modalities share."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from fovea.models.backbone import Backbone
from fovea.models.by_modality import EachModality, SharedBackbone
from fovea.models.unet3d import UNet3d

UNET = partial(UNet3d, features=[8, 8], norm="batch")


class Normalized(Backbone):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(1)

    def features(self, image: Tensor) -> Tensor:
        return self.norm(image)

    def classify(self, features: Tensor) -> Tensor:
        return features


def shared() -> EachModality:
    return EachModality(["ct", "mri"], 1, 2, UNET, slices=True, share="everything")


@pytest.mark.parametrize("build", [shared, partial(SharedBackbone, ["ct", "mri"], 1, Normalized)])
def test_a_shared_normalization_sees_all_modalities(build) -> None:
    """In training, each modality is normalized by the statistics of all; in evaluation, alone gives the same."""
    torch.manual_seed(0)
    network = build()
    image = {"ct": torch.rand(2, 1, 8, 8), "mri": 5 + torch.rand(2, 1, 8, 8)}
    norms = [part for part in network.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    network(image)
    assert {int(norm.num_batches_tracked) for norm in norms} == {1}
    network.eval()
    both = network(image).logits
    for name in image:
        torch.testing.assert_close(network(image, [name]).logits[name], both[name])
    other = {"ct": image["ct"], "mri": torch.rand(2, 1, 16, 8)}
    torch.testing.assert_close(network(other).logits["ct"], both["ct"])
