"""Where evaluation and prediction run."""

from collections.abc import Mapping
from typing import Any

import torch


def pick(name: str) -> torch.device:
    """The device of a name; `auto` is a GPU where there is one.

    Raises:
        ValueError: the device does not exist on this machine.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device={name} is not on this machine; use device=auto or device=cpu") from error
    return device


def moved(image: Any, device: torch.device) -> Any:
    """A tensor, or a mapping of tensors, on a device."""
    if isinstance(image, Mapping):
        return {name: each.to(device) for name, each in image.items()}
    return image.to(device)
