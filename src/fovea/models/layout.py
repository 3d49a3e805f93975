"""Networks as a machine runs them fastest, in place: their weights keep names and values."""

from typing import Any

import torch
from torch import nn

FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}  # by dimensions of a weight


def put_channels_last(module: nn.Module) -> None:
    """Lay the weights of two- and three-dimensional convolutions out with the channels last.

    A convolution hands over its output in the layout of its weights, so that images need no conversion.
    """
    for parameter in module.parameters():
        if parameter.dim() in FORMATS:
            parameter.data = parameter.data.contiguous(memory_format=FORMATS[parameter.dim()])


def compile_networks(module: nn.Module, **options: Any) -> None:
    """Compile each network that a supervision mode owns, singly or in a list, with torch.compile.

    What the mode computes with them stays Python: a weight that changes with the progress would be compiled anew at
    each step.

    Args:
        module: The mode.
        **options: Of torch.compile.
    """
    for child in module.children():
        if isinstance(child, nn.ModuleList | nn.ModuleDict):
            compile_networks(child, **options)
        elif next(child.parameters(), None) is not None:  # else a loss
            child.compile(**options)
