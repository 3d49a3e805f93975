"""What keeps losses finite in half precision."""

import torch
from torch import Tensor

LEAST_NORM = 1e-4  # of features to compare: that of a dead channel is 0, and its gradient would explode


def single(values: Tensor) -> Tensor:
    """Return the values in float32 or better."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
