"""What the modes of semi-supervised learning by modality share: reading a batch, the supervised loss, a prediction."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fovea.supervision.outputs import probabilities


def stream(batch: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The batch of a stream, `labeled` or `unlabeled`.

    Raises:
        ValueError: the batch has no such stream.
    """
    if name not in batch:
        raise ValueError(f"data: this supervision trains on two streams, and {name} is missing; choose data of pairs")
    return batch[name]


def supervised_loss(loss: nn.Module, logits: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> Tensor:
    """The mean over modalities of a loss of logits [B, K, D, H, W] and labels [B, D, H, W] (int64).

    Raises:
        ValueError: the loss takes no such labels.
    """
    try:
        return torch.stack([loss(logits[name], masks[name]) for name in logits]).mean()
    except (AssertionError, ValueError) as error:  # what losses raise at shapes that they do not take
        reason = " ".join(str(error).split())
        raise ValueError(f"loss: {type(loss).__name__} takes no label maps ({reason}); choose loss=dice_ce") from error


def predict_first(network: nn.Module, image: Mapping[str, Tensor], size: Sequence[int]) -> dict[str, Tensor]:
    """The probabilities [B, K, *size] of the first modality of a mapping; the others, where given, help.

    Raises:
        ValueError: see `fovea.models.by_modality.ByModality.present`.
    """
    first = next(iter(image), "") if isinstance(image, Mapping) else ""
    return {"prediction": probabilities(network(image, [first]).logits[first], size)}
