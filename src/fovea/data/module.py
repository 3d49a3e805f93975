"""The one LightningDataModule."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from fovea.data.folder import Folder
from fovea.data.loader import EpochBatches, Shard, TrainingLoader
from fovea.data.plan import Plan, digest, make_plan
from fovea.data.samples import Arrays, EvaluationSamples, Resized, TrainingSamples, Transform
from fovea.runtime.errors import FoveaError
from fovea.runtime.processes import leave_signals_alone


class DataModule(pl.LightningDataModule):
    """Loaders over any torch-free data set; what each key means stands in `configs/data/`.

    `plan` comes from a command that has checked everything with `make_plan` before it imported Lightning; without one
    the plan is made here, of `needs`, what the supervision mode trains on, and the store.

    Raises:
        FoveaError: a number makes no sense, or as `fovea.data.plan.make_plan`.
    """

    def __init__(
        self,
        name: str,
        root: str,
        dataset: Callable[..., Folder],
        channels: int,
        classes: int,
        size: int,
        batch_size: int,
        num_workers: int,
        drop_last: bool,
        fraction: float,
        protocol: str,
        select_on: str,
        select_threshold: float,
        normalize: Transform,
        augment: Mapping[str, Any],
        seed: int,
        needs: Sequence[str] = ("mask",),
        store: str | None = None,
        parameters: dict[str, Any] | None = None,
        cache: Callable[[Resized], Arrays] | None = None,
        duplicates: str = "warn",
        fold: Sequence[int] | None = None,
        plan: Plan | None = None,
    ) -> None:
        super().__init__()
        for key, value, least in (("size", size, 1), ("batch_size", batch_size, 1), ("num_workers", num_workers, 0)):
            if not isinstance(value, int) or value < least:
                raise FoveaError(f"data.{key}={value} is not possible; give a whole number from {least} on")
        self.name, self.protocol, self.fold, self.channels = name, protocol, fold, channels
        self.plan = plan or make_plan(
            dataset, root, needs, store, parameters or {}, fraction, select_on, seed, duplicates
        )
        self.batch_size, self.num_workers, self.drop_last, self.seed = batch_size, num_workers, drop_last, seed
        self.loader: TrainingLoader | None = None
        self.reached: dict[str, int] = {}  # the place of the checkpoint that is gone on from
        self.training = TrainingSamples(self.plan, size, classes, normalize, augment, seed, cache)
        self.validation = EvaluationSamples(self.plan, self.plan.val, size, normalize, select_threshold)

    def train_dataloader(self) -> TrainingLoader:
        """Batches of `batch_size` on each process, in an order drawn anew each epoch."""
        batches = EpochBatches(len(self.training), self.batch_size, self.drop_last, self.seed, **self._place())
        self.loader = TrainingLoader(self.training, batches, **self._workers())
        if self.reached:
            self.loader.load_state_dict(self.reached)
        return self.loader

    def val_dataloader(self) -> DataLoader[dict[str, Any]]:
        """One image a batch, since targets keep their native sizes."""
        shard = Shard(len(self.validation), **self._place())
        return DataLoader(self.validation, batch_size=1, sampler=shard, generator=torch.Generator(), **self._workers())

    def on_before_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> dict[str, Any]:
        """Have all that watch a step log it under its number; Lightning's count may be one short after going on."""
        if self.reached and self.trainer is not None and self.trainer.training:
            self.trainer.fit_loop.epoch_loop._batches_that_stepped = self.trainer.global_step
        return batch

    def on_after_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> dict[str, Any]:
        """Finish training batches where they are used: workers and the bus carry bytes."""
        return batch if "target" in batch else self.training.finish(batch)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs to go on: the place in the epoch, and what the images were."""
        return {"images": digest(self.plan.train)} | (self.loader.state_dict() if self.loader else {})

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there.

        Raises:
            FoveaError: the training images are not those of the checkpoint.
        """
        if state_dict["images"] != digest(self.plan.train):
            raise FoveaError(
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
