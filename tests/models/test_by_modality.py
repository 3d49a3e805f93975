"""Networks that modalities share, and the two-dimensional forms of all networks by modality."""

import copy
import io
from functools import partial

import pytest
import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn

from fovea.models.backbone import Backbone
from fovea.models.by_modality import EachModality, EarlyFusion, SharedBackbone
from fovea.models.cross_modality import CrossModalityNet
from fovea.models.smp import SmpBackbone
from fovea.models.smp_unet import SmpUNet
from fovea.models.unet3d import DynUNet3d, UNet3d

BATCH = partial(UNet3d, features=[8, 8], norm="batch")


class Normalized(Backbone):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(1)

    def features(self, image: Tensor) -> Tensor:
        return self.norm(image)

    def classify(self, features: Tensor) -> Tensor:
        return features


def shared() -> EachModality:
    return EachModality(["ct", "mri"], 1, 2, BATCH, slices=True, share="everything")


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


NAMES = ["ct", "mri"]
ENCODER = {"network": smp.Unet, "encoder_name": "tu-mobilenetv3_small_100", "encoder_weights": None}
UNETS = {
    "plain": partial(UNet3d, features=[4, 8], norm="instance"),
    "nnU-Net": partial(DynUNet3d, features=[4, 6, 8], norm="batch"),
    "smp": partial(SmpUNet, **ENCODER, decoder_channels=[16, 8, 8, 8, 8]),
}
fused = partial(CrossModalityNet, norm="instance", groups=4, shared_encoder=True, shared_decoder=True)
WRAPPERS = {"cross": fused, "each": EachModality, "early": EarlyFusion}


@pytest.mark.parametrize("unet", UNETS)
@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_every_network_has_a_two_dimensional_form(wrapper: str, unet: str) -> None:
    network = WRAPPERS[wrapper](NAMES, 1, 3, unet=UNETS[unet], slices=True)
    assert not [part for part in network.modules() if isinstance(part, nn.Conv3d | nn.ConvTranspose3d)]
    logits, features = network({name: torch.randn(2, 1, 64, 64) for name in NAMES})
    assert {values.shape for values in logits.values()} == {(2, 3, 64, 64)}
    assert list(features) == (NAMES if network.separate else [])
    with pytest.raises(ValueError, match="must have 2 sides"):
        network({name: torch.randn(1, 1, 8, 8, 8) for name in NAMES})


def test_a_backbone_serves_all_modalities() -> None:
    network = SharedBackbone(NAMES, 3, partial(SmpBackbone, **ENCODER, in_channels=1, classes=3)).eval()
    image = {name: torch.randn(2, 1, 64, 64) for name in NAMES}
    outputs = network(image)
    torch.testing.assert_close(outputs.logits["mri"], network.backbone(image["mri"]))
    torch.testing.assert_close(network({"mri": image["mri"]}, ["mri"]).logits["mri"], outputs.logits["mri"])
    with pytest.raises(ValueError, match=r"unet: SmpUNet reads slices, not volumes; set data\.slices=true"):
        EachModality(NAMES, 1, 3, UNETS["smp"])


@pytest.mark.parametrize("slices", [True, False])
def test_convolutions_are_shared_and_normalizations_are_not(slices: bool) -> None:
    build = partial(EachModality, NAMES, 1, 3, partial(UNet3d, features=[4, 8], norm="batch"), slices=slices)
    network, plain, one = build(share="convolutions"), build(), build(share="everything")
    norms = 2 * sum(isinstance(part, nn.BatchNorm2d | nn.BatchNorm3d) for part in one.modules())
    counts = [len(list(each.parameters())) for each in (one, network, plain)]
    assert counts == [counts[0], counts[0] + norms, 2 * counts[0]]
    image = {name: torch.rand(2, 1, *[8] * (2 if slices else 3)) for name in NAMES}
    sum(values.square().mean() for values in network(image).logits.values()).backward()
    torch.optim.SGD(network.parameters(), 0.1).step()
    copied, content, loaded = copy.deepcopy(network).eval(), io.BytesIO(), build(share="convolutions").eval()
    torch.save(network.state_dict(), content)
    content.seek(0)
    loaded.load_state_dict(torch.load(content, weights_only=True))
    for other in (copied, loaded):
        assert len(list(other.parameters())) == counts[1]
        torch.testing.assert_close(other(image).logits, network.eval()(image).logits)
