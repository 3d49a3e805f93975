"""The one LightningDataModule, and a check of its last batch."""

from collections import Counter
from copy import deepcopy
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DistributedSampler

from fovea.data.loader import Caught, EpochBatches, EvaluationLoader, Order, TrainingLoader, by_stream, received
from fovea.data.source import Training
from fovea.engine.lightning_private import log_under_global_step
from fovea.runtime.workers import leave_signals_alone
from fovea.supervision.mode import Mode


class DataModule(pl.LightningDataModule):
    """Loaders over the samples of any type of data.

    `batch_size` counts the samples of each stream in a batch, on each process. `drop_last` leaves out the last batch of
    a pass over a stream if it is short. `seed` is that of the order.
    """

    def __init__(self, training: Training, batch_size: int, num_workers: int, drop_last: bool, seed: int) -> None:
        super().__init__()
        self.training, self.streams = training, dict(training.streams())
        self.batch_size, self.num_workers, self.drop_last, self.seed = batch_size, num_workers, drop_last, seed
        self.loader: TrainingLoader | None = None
        self.reached: dict[str, int] = {}  # the place in the epoch of the checkpoint that is resumed

    def train_dataloader(self) -> TrainingLoader:
        """Return the loader of a batch of every stream a step; each pass over a stream draws a new order."""
        self.loader = TrainingLoader(self.streams, self.batches(**self._place()), **self._workers())
        if self.reached:
            self.loader.load_state_dict(self.reached)
        return self.loader

    def batches(self, rank: int, processes: int) -> EpochBatches:
        """Return what is in each batch of one of several processes."""
        lengths = [len(samples) for samples in self.streams.values()]
        settings = self.batch_size, self.drop_last, self.seed, rank, processes
        orders = [Order(length, *settings, lengths[:place].count(length)) for place, length in enumerate(lengths)]
        return EpochBatches(dict(zip(self.streams, orders, strict=True)))

    def val_dataloader(self) -> EvaluationLoader:
        """Return the loader of the val images, one image a batch; some appear twice if processes need equal numbers."""
        samples: Any = self.training.val.samples
        place = self._place()
        shard = DistributedSampler[Any](samples, place["processes"], place["rank"], shuffle=False)
        return EvaluationLoader(samples, sampler=shard, generator=torch.Generator(), **self._workers())

    def on_before_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> dict[str, Any]:
        """Work around an off-by-one in Lightning's logged step after a mid-epoch resume."""
        if self.reached and self.trainer is not None and self.trainer.training:
            log_under_global_step(self.trainer)
        return batch

    def on_after_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> dict[str, Any]:
        """Finish training batches on the device, since workers and the bus carry bytes; one stream needs no name."""
        if "target" in batch:
            return batch
        finished = {name: self.streams[name].finish(samples) for name, samples in batch.items()}
        return finished if len(finished) > 1 else finished[next(iter(finished))]

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint needs to resume, the ids that are not to be scored, and the names of the classes."""
        place = self.loader.state_dict() if self.loader else {}
        names = list(self.training.val.classes)
        return {"images": self.training.digest, "ids": self.training.ids, "classes": names} | place

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Resume at the place of a checkpoint; a ValueError if its training images are others."""
        if state_dict["images"] != self.training.digest:
            raise ValueError("ckpt_path: the run trained on other images; restore them, or start a new run elsewhere")
        self.reached = {name: state_dict[name] for name in ("epoch", "batches")}

    def _place(self) -> dict[str, int]:
        """Return the number of this process, and of all."""
        if self.trainer is None:
            return {"rank": 0, "processes": 1}
        return {"rank": self.trainer.global_rank, "processes": self.trainer.world_size}

    def _workers(self) -> dict[str, Any]:
        return {
            "num_workers": self.num_workers,
            "worker_init_fn": leave_signals_alone,
            "persistent_workers": self.num_workers > 0,
            "pin_memory": pl.accelerators.CUDAAccelerator.is_available(),
        }


def check_last_batch(module: Mode, data: DataModule, processes: int) -> None:
    """Try the last batch of an epoch before the first, if it has one sample: a batch normalization needs two values."""
    batches = data.batches(0, processes)
    small = next((keys for keys in batches if 1 in Counter(stream for stream, *_ in keys).values()), None)
    if small is None or not any(isinstance(part, _BatchNorm) for part in module.modules()):
        return
    samples = Caught(data.streams)
    [sent] = received(iter([by_stream([samples[key] for key in small])]), pin_memory=False)
    batch: Any = data.on_after_batch_transfer(sent, 0)
    trial = deepcopy(module).train()  # a step changes running statistics
    for name, part in trial.named_modules():
        if isinstance(part, _BatchNorm):
            part.register_forward_pre_hook(lambda part, inputs, name=name: _refuse(name, inputs[0], data))
    with torch.no_grad(), torch.random.fork_rng():
        for progress in (0.0, 1.0):  # a mode may leave unlabeled images out at first
            trial.losses(batch, progress)


def _refuse(name: str, values: Tensor, data: DataModule) -> None:
    if values.numel() > values.shape[1]:
        return
    fix = "set data.drop_last=true, or another data.batch_size"
    if data.batch_size == 1:
        fix = "set data.batch_size=2 or more"
    why = f"a batch has one image, and the batch normalization {name} would get one value per channel of it"
    raise ValueError(f"data.batch_size={data.batch_size}: {why}; {fix}, or larger images (data.size)")
