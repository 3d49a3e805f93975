"""Try the last batch of an epoch before the first, if it has one sample: batch normalization needs two values."""

from collections import Counter
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from fovea.data.loader import Streams, as_tensors, by_stream, raised
from fovea.engine.datamodule import DataModule
from fovea.supervision.mode import Mode


def check_last_batch(module: Mode, data: DataModule, processes: int) -> None:
    """Refuse a network that cannot train on the last batch.

    Raises:
        ValueError: a batch normalization would get one value per channel; the line says what to set.
    """
    batches = data.batches(0, processes)
    small = next((keys for keys in batches if 1 in Counter(stream for stream, *_ in keys).values()), None)
    if small is None or not any(isinstance(part, _BatchNorm) for part in module.modules()):
        return
    samples = Streams(data.streams)
    batch: Any = data.on_after_batch_transfer(as_tensors(raised(by_stream([samples[key] for key in small])), False), 0)
    trial = deepcopy(module).train()  # a step changes running statistics
    for name, part in trial.named_modules():
        if isinstance(part, _BatchNorm):
            part.register_forward_pre_hook(lambda part, inputs, name=name: _refuse(name, inputs[0], data))
    with torch.no_grad(), torch.random.fork_rng():
        trial.losses(batch, 0.0)


def _refuse(name: str, values: Tensor, data: DataModule) -> None:
    if values.numel() > values.shape[1]:
        return
    fix = "set data.drop_last=true, or another data.batch_size"
    if data.batch_size == 1:
        fix = "set data.batch_size=2 or more"
    raise ValueError(
        f"data.batch_size={data.batch_size}: a batch has one image, and the batch normalization {name} would get one "
        f"value per channel of it; {fix}, or larger images (data.size)"
    )
