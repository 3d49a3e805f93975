"""The one LightningDataModule."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
from torch.utils.data import DataLoader

from fovea.data.folder import Folder
from fovea.data.plan import make_plan
from fovea.data.samples import Arrays, EpochSampler, EvaluationSamples, Resized, TrainingSamples, Transform
from fovea.runtime.errors import FoveaError


class DataModule(pl.LightningDataModule):
    """Loaders over any torch-free data set; what each key means stands in `configs/data/`.

    The arguments after `seed` come from the command: what the supervision mode trains on, and the store.

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
    ) -> None:
        super().__init__()
        for key, value, least in (("size", size, 1), ("batch_size", batch_size, 1), ("num_workers", num_workers, 0)):
            if not isinstance(value, int) or value < least:
                raise FoveaError(f"data.{key}={value} is not possible; give a whole number from {least} on")
        self.name, self.protocol, self.channels = name, protocol, channels
        self.plan = make_plan(dataset, root, needs, store, parameters or {}, fraction, select_on, seed, duplicates)
        self.batch_size, self.num_workers, self.drop_last, self.seed = batch_size, num_workers, drop_last, seed
        self.training = TrainingSamples(self.plan, size, classes, normalize, augment, seed, cache)
        self.validation = EvaluationSamples(self.plan, self.plan.val, size, normalize, select_threshold)

    def train_dataloader(self) -> DataLoader[dict[str, Any]]:
        """Batches of `batch_size` in an order drawn anew each epoch."""
        return DataLoader(
            self.training,
            batch_size=self.batch_size,
            sampler=EpochSampler(len(self.training), self.seed),
            drop_last=self.drop_last,
            **self._workers(),
        )

    def val_dataloader(self) -> DataLoader[dict[str, Any]]:
        """One image a batch, since targets keep their native sizes."""
        return DataLoader(self.validation, batch_size=1, shuffle=False, **self._workers())

    def _workers(self) -> dict[str, Any]:
        return {
            "num_workers": self.num_workers,
            "persistent_workers": self.num_workers > 0,
            "pin_memory": pl.accelerators.CUDAAccelerator.is_available(),
        }
