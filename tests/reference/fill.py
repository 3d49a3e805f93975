"""Deterministic weights, so that two implementations can be compared without shipping a checkpoint.

fill(shapes) turns {name: shape} into {name: float32 tensor}. The i-th name in sorted order and the k-th
element give u = frac(sin(12.9898 k + 78.233 i) * 43758.5453) in [0, 1):
  2 or more dimensions   (2u - 1) * sqrt(3 / fan_in), fan_in = product of all dimensions but the first
  1 dimension, 'weight'  1 + 0.2 (2u - 1)
  otherwise              0.1 (2u - 1)
"""

import numpy as np
import torch


def fill(shapes):
    out = {}
    for i, name in enumerate(sorted(shapes)):
        shape = tuple(shapes[name])
        n = int(np.prod(shape)) if shape else 1
        u = np.sin(12.9898 * np.arange(n) + 78.233 * i) * 43758.5453
        v = 2 * (u - np.floor(u)) - 1
        if len(shape) > 1:
            v = v * np.sqrt(3 / np.prod(shape[1:]))
        elif name.endswith("weight"):
            v = 1 + 0.2 * v
        else:
            v = 0.1 * v
        out[name] = torch.from_numpy(v.astype(np.float32).reshape(shape))
    return out
