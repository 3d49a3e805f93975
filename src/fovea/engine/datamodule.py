"""The one LightningDataModule."""

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from fovea.data.loader import EpochBatches, Order, Shard, TrainingLoader
from fovea.data.protocols import Plan, Samples, Training
from fovea.runtime.processes import leave_signals_alone

ALONE = ""  # the name of a stream that has no others beside it: its batch is the batch


class DataModule(pl.LightningDataModule):
    """Loaders over the samples of any kind of data; the keys of `configs/data/` go to `fovea.data`, which builds this.

    Args:
        plan: Which cases train and validate.
        training: The training samples by stream; of only one, named `ALONE`, batches come without its name.
        validation: One case each, with a `target` at its native size.
        batch_size: Samples of each stream in a batch, on each process.
        num_workers: Of each loader, on each process.
        drop_last: Leave out the last batch of a pass over a stream if it is short.
        seed: Of the order.

    Raises:
        ValueError: a number makes no sense.
    """

    def __init__(
        self,
        plan: Plan,
        training: Mapping[str, Training],
        validation: Samples,
        batch_size: int,
        num_workers: int,
        drop_last: bool,
        seed: int,
    ) -> None:
        super().__init__()
        for key, value, least in (("batch_size", batch_size, 1), ("num_workers", num_workers, 0)):
            if not isinstance(value, int) or value < least:
                raise ValueError(f"data.{key}={value} is not possible; give a whole number from {least} on")
        self.plan, self.training, self.validation = plan, dict(training), validation
        self.batch_size, self.num_workers, self.drop_last, self.seed = batch_size, num_workers, drop_last, seed
        self.loader: TrainingLoader | None = None
        self.reached: dict[str, int] = {}  # the place of the checkpoint that is gone on from

    def train_dataloader(self) -> TrainingLoader:
        """A batch of `batch_size` of every stream on each process, in orders drawn anew each pass."""
        orders = {
            name: Order(len(samples), self.batch_size, self.drop_last, self.seed, **self._place())
            for name, samples in self.training.items()
        }
        self.loader = TrainingLoader(self.training, EpochBatches(orders), **self._workers())
        if self.reached:
            self.loader.load_state_dict(self.reached)
        return self.loader

    def val_dataloader(self) -> DataLoader[dict[str, Any]]:
        """One case a batch, since targets keep their native sizes."""
        shard = Shard(len(self.validation), **self._place())
        options = {"batch_size": 1, "sampler": shard, "generator": torch.Generator(), **self._workers()}
        return DataLoader(self.validation, **options)  # type: ignore[arg-type]  # torch asks for a class of its own

    def on_before_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> dict[str, Any]:
        """Have all that watch a step log it under its number; Lightning's count may be one short after going on."""
        if self.reached and self.trainer is not None and self.trainer.training:
            self.trainer.fit_loop.epoch_loop._batches_that_stepped = self.trainer.global_step
        return batch

    def on_after_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> dict[str, Any]:
        """Finish training batches where they are used: workers and the bus carry bytes."""
        if "target" in batch:
            return batch
        finished = {name: self.training[name].finish(each) for name, each in batch.items()}
        return finished.get(ALONE, finished)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs to go on: the place in the epoch, and what the images were."""
        return {"images": self.plan.digest} | (self.loader.state_dict() if self.loader else {})

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there.

        Raises:
            ValueError: the training images are not those of the checkpoint.
        """
        if state_dict["images"] != self.plan.digest:
            raise ValueError(
                f"ckpt_path: the run trained on other images than the {len(self.plan.train)} that data.root lists now; "
                "restore them or start afresh in another folder"
            )
        self.reached = {name: state_dict[name] for name in ("epoch", "batches")}

    def _place(self) -> dict[str, int]:
        """Which process this is, of how many."""
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
