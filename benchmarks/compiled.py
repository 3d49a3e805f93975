"""Compare compiled networks with plain ones: difference of the losses of three steps, and seconds of the build.

    python benchmarks/compiled.py [BACKBONE ...] [--size PIXELS]

Trains two levels with propagated consistency on every backbone, small, from the same weights on the same batch. Needs a
C++ compiler on a CPU. Dropout draws equal numbers in both.
"""

import argparse
import copy
import time
from functools import partial

import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn
from torch._inductor import config
from training_step import MULTI_LEVEL

from fovea.models.basic_unet import BasicUNet2d
from fovea.models.layout import compile_networks
from fovea.models.smp import SmpBackbone
from fovea.supervision.multi_level import MultiLevel

LIGHT = "tu-mobilenetv3_small_100"
BACKBONES = {
    "basic_unet": partial(BasicUNet2d, features=[8, 8, 16, 16, 16, 8], groups=4),
    "unet": partial(SmpBackbone, smp.Unet, LIGHT, None),
    "unetplusplus": partial(SmpBackbone, smp.UnetPlusPlus, LIGHT, None),
    "deeplabv3plus": partial(SmpBackbone, smp.DeepLabV3Plus, LIGHT, None),
    "segformer": partial(SmpBackbone, smp.Segformer, "mit_b0", None),
}


def main() -> None:
    """Print a line for each backbone."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("backbones", nargs="*", default=list(BACKBONES), metavar="BACKBONE")
    parser.add_argument("--size", type=int, default=64)
    arguments = parser.parse_args()
    config.fallback_random = True  # else compiled dropout draws other numbers
    for name in arguments.backbones:
        torch.manual_seed(0)
        torch._dynamo.reset()
        plain = MultiLevel(partial(BACKBONES[name], in_channels=3, classes=1), nn.BCEWithLogitsLoss(), **MULTI_LEVEL)
        compiled = copy.deepcopy(plain)
        compile_networks(compiled)
        expected = losses(plain, arguments.size)
        started = time.perf_counter()
        actual = losses(compiled, arguments.size)
        seconds = time.perf_counter() - started
        apart = float((actual - expected).abs().max())
        print(f"{name}: losses {apart:.1e} apart, {seconds:.0f} s with the build", flush=True)


def losses(mode: MultiLevel, size: int) -> Tensor:
    """Return the losses of three steps."""
    generator = torch.Generator().manual_seed(1)
    image, pseudo = (torch.rand(2, channels, size, size, generator=generator) for channels in (3, 1))
    optimizer = torch.optim.SGD(mode.parameters(), lr=0.01)
    result = []
    for step in range(3):
        optimizer.zero_grad()
        torch.manual_seed(step)
        loss = mode.losses({"image": image, "pseudo": pseudo}, progress=0.0)["loss"]
        loss.backward()
        optimizer.step()
        result.append(loss.detach())
    return torch.stack(result)


if __name__ == "__main__":
    main()
