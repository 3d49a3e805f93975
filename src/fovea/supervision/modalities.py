"""Functions for networks that read an image, and for those that read volumes by modality.

Modes see logits by modality. A plain image is a single modality without a name. Nothing else in a mode depends on the
kind of data.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from fovea.supervision.batch import Image
from fovea.supervision.outputs import probabilities

UNNAMED = ""


def logits_of(network: nn.Module, image: Image) -> dict[str, Tensor]:
    """Return the logits [B, K, *size] by modality; for a mapping, the network is a `ByModality`."""
    return network(image).logits if isinstance(image, Mapping) else {UNNAMED: network(image)}


def apply(function: Callable[[Tensor], Tensor], image: Image) -> Image:
    """Return the image with a function applied to the tensor of each modality."""
    return {name: function(volume) for name, volume in image.items()} if isinstance(image, Mapping) else function(image)


def by_name(values: Image, names: Iterable[str]) -> Mapping[str, Tensor]:
    """Return the tensor of each modality. All modalities share values that are a tensor, e.g. a mask."""
    return values if isinstance(values, Mapping) else dict.fromkeys(names, values)


def next_modality(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give each modality the tensor of the next one in sorted order; the last gets that of the first."""
    names = sorted(values)
    following = dict(zip(names, [*names[1:], names[0]], strict=True))
    return {name: values[following[name]] for name in values}


def supervised_loss(loss: nn.Module, logits: Mapping[str, Tensor], mask: Image) -> Tensor:
    """Return the mean over modalities of a loss of logits and a mask. All modalities share a mask that is a tensor."""
    masks = by_name(mask, logits)
    return torch.stack([loss(values, masks[name]) for name, values in logits.items()]).mean()


def predict(network: nn.Module, image: Image, size: Sequence[int]) -> dict[str, Tensor]:
    """Return the probabilities [B, K, *size] of the first modality. The others help if they are present."""
    if not isinstance(image, Mapping):
        return {"prediction": probabilities(network(image), size)}
    first = next(iter(image), UNNAMED)
    return {"prediction": probabilities(network(image, [first]).logits[first], size)}
