"""Normalization of images, by a table of 256 values wherever a pixel does not depend on others."""

from collections.abc import Callable
from typing import Any

import albumentations as A
import numpy as np
import torch

Transform = Callable[..., dict[str, Any]]  # of albumentations: image=…, mask=… to the same names


def normalized(image: np.ndarray, normalize: Transform) -> np.ndarray:
    """Return an image [H, W, C] normalized, float32 [C, H, W]."""
    values = normalize(image=image)["image"].astype(np.float32, copy=False)
    return np.ascontiguousarray(values.transpose(2, 0, 1))


def lookup_table(normalize: Transform, channels: int) -> np.ndarray | None:
    """Return what `normalize` gives for each of the 256 values, float32 [C, 256]; None if pixels depend on others.

    The table is computed by the transform itself, so that it gives the same bits.
    """
    declared: Any = normalize
    if type(normalize) is not A.Normalize or declared.normalization != "standard" or declared.p < 1:
        return None
    ramp = np.repeat(np.arange(256, dtype=np.uint8).reshape(256, 1, 1), channels, axis=2)
    return np.ascontiguousarray(normalize(image=ramp)["image"][:, 0].T.astype(np.float32, copy=False))


def look_up(images: torch.Tensor, table: np.ndarray) -> torch.Tensor:
    """Normalize images [B, C, H, W], uint8, by a table [C, 256], on their device."""
    values = torch.from_numpy(table).to(images.device)
    return torch.stack([row[images[:, channel].long()] for channel, row in enumerate(values)], dim=1)
