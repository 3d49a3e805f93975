"""Memory layout and compilation of networks, in place; names and values of the weights stay."""

from typing import Any

import torch
from torch import nn

FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}  # by dimensions of a weight


def put_channels_last(module: nn.Module) -> None:
    """Store the weights of 2-D and 3-D convolutions with the channels last.

    A convolution returns its output in the layout of its weights, so images need no conversion. `Tensor.contiguous`
    would leave weights of one input channel as they are.
    """
    for parameter in module.parameters():
        if parameter.dim() in FORMATS:
            parameter.data = parameter.data.to(memory_format=FORMATS[parameter.dim()])


def compile_networks(module: nn.Module, **options: Any) -> None:
    """Compile each network that a supervision mode owns, alone or in a list, with torch.compile.

    The mode itself stays Python: a weight that changes with the progress would recompile it in each step.
    """
    for child in module.children():
        if isinstance(child, nn.ModuleList | nn.ModuleDict):
            compile_networks(child, **options)
        elif next(child.parameters(), None) is not None:  # losses have no parameters
            child.compile(**options)
