"""The LightningModule: a supervision mode, an optimizer, a schedule and metrics."""

import logging
import math
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

import pytorch_lightning as pl
import torch
import torch.distributed as dist
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.optim import Optimizer
from torchmetrics.utilities.distributed import gather_all_tensors

from fovea.data.source import Predictor
from fovea.engine.added_metrics import AddedMetrics
from fovea.engine.checkpoint import KEY
from fovea.engine.finite import Finite
from fovea.engine.lightning_private import resume_epochs_from_loader
from fovea.engine.resume import follow, stopped_early
from fovea.engine.schedules import schedule_of
from fovea.metrics.per_image import PerImage
from fovea.models.layout import compile_networks, put_channels_last
from fovea.runtime.config import instantiate
from fovea.runtime.errors import first_few
from fovea.supervision.batch import Batch
from fovea.supervision.checks import check_losses, check_outputs
from fovea.supervision.mode import Mode
from fovea.supervision.outputs import labels

log = logging.getLogger(__name__)


class Segmenter(pl.LightningModule):
    """Train and validate any supervision mode, which holds all trained state, on any data.

    The checkpoints hold `config`, `configs/train.yaml` resolved to plain values. `predictor` returns a callable that
    predicts full-size images with the mode.
    """

    def __init__(self, supervision: Mode, config: Mapping[str, Any], predictor: Callable[[Mode], Predictor]) -> None:
        super().__init__()
        self.supervision, self.config, self.predictor = supervision, dict(config), predictor
        if config["channels_last"]:
            put_channels_last(supervision)
        if config["compile"]:
            compile_networks(supervision)
        self.make_optimizer = instantiate(config["optimizer"], "optimizer")
        self.make_scheduler = instantiate(config["scheduler"], "scheduler")
        classes = config["data"]["classes"]
        self.scores, self.added = PerImage(classes), AddedMetrics(config.get("metrics") or {}, classes)
        self.started = time.monotonic()  # earlier by the seconds that were trained before a resume
        self.random: Mapping[str, Tensor] = {}  # the random states of the checkpoint to resume from
        self.finite = Finite(self.config)
        self.looked = False  # for parameters without a gradient
        self.skipped = 0  # steps that the scaler of 16-mixed skipped, since their gradients were not finite

    @property
    def progress(self) -> float:
        """The part of the training that is done, in [0, 1]."""
        return self.global_step / max(self.trainer.estimated_stepping_batches, 1)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of a batch, and log every term of the mode as `train/<term>`."""
        terms = self.supervision.losses(batch, self.progress)
        check_losses(type(self.supervision).__name__, terms)
        self.finite.note(self.global_step + 1, terms)
        values = {f"train/{name}": value.detach() for name, value in terms.items()}
        self.log_dict(values)
        self.log("loss", terms["loss"].detach(), prog_bar=True, logger=False)
        return terms["loss"]

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Warn before the first step of parameters that no loss reaches, e.g. of a network that nothing calls."""
        if self.looked:
            return
        self.looked = True
        named = self.supervision.named_parameters()
        if idle := [name for name, each in named if each.requires_grad and each.grad is None]:
            fix = "several processes fail on this; use them in losses, or set requires_grad to False"
            log.warning("supervision: %d parameters get no gradient (%s): %s", len(idle), first_few(idle, 2), fix)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Step, then update the mode, e.g. its moving average of weights."""
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        before = 0.0 if scaler is None else scaler.get_scale()
        super().optimizer_step(*args, **kwargs)
        if scaler is not None and scaler.get_scale() < before:
            self.skipped += 1
        self.supervision.after_step(self.progress)

    def on_train_batch_end(self, *args: Any) -> None:
        """End a training whose loss is not a number."""
        if self.global_step % max(1, self.trainer.log_every_n_steps) == 0:  # type: ignore[attr-defined]
            self.finite.check()

    def on_validation_start(self) -> None:
        """Do not validate weights that a loss that is not a number has changed."""
        self.finite.check()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Score one image at its native size as the evaluation does: also without compiled networks."""
        target = batch["target"]
        with torch.compiler.set_stance("force_eager") if self.config["compile"] else nullcontext():
            outputs = self.predictor(self.supervision)(batch["image"], target.shape[1:])
        check_outputs(outputs, self.scores.classes, target.shape[1:])
        probability = outputs["prediction"]
        self.scores.update(labels(probability), target, batch["index"])
        self.added.add(probability, target)

    def on_validation_epoch_end(self) -> None:
        """Log the means over images as `val/dice`, `val/iou`, …"""
        means = self.scores.compute()
        self.scores.reset()
        # The means are already those of all processes; `sync_dist` avoids a warning.
        values = {name: value.float() for name, value in means.items()} | self.added.compute()
        self.log_dict({f"val/{name}": value for name, value in values.items()}, sync_dist=True)
        self.log("dice", means["dice"].float(), prog_bar=True, logger=False, sync_dist=True)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Return the optimizer, and the schedule that is stepped after each of its steps."""
        optimizer = self.make_optimizer(self.supervision.parameters())
        self.trainer.fit_loop.setup_data()  # the number of batches is not known earlier
        if not self.trainer.limit_train_batches:
            raise ValueError("nothing is trained: trainer.limit_train_batches=0; set it above 0, or leave it out")
        max_steps = self.trainer.estimated_stepping_batches
        if math.isinf(max_steps):
            raise ValueError("trainer.max_steps=-1: a schedule needs the length; set it, or trainer.max_epochs")
        batches, accumulated = int(self.trainer.num_training_batches), self.trainer.accumulate_grad_batches
        steps_per_epoch = math.ceil(batches / accumulated)  # the last step may accumulate fewer
        epochs, rest = divmod(int(max_steps), steps_per_epoch)
        interval = self.trainer.val_check_interval
        if self.trainer.check_val_every_n_epoch is None and isinstance(interval, int):  # Lightning takes it as batches
            whole = epochs * batches + min(rest * accumulated, batches)
            self.trainer.val_check_batch = min(interval * accumulated, whole)
        scheduler = schedule_of(self.make_scheduler, optimizer, int(max_steps), steps_per_epoch)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step", "frequency": 1}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add configuration and random states; a ValueError if the loss or a weight is not a number."""
        self.finite.check()
        self.finite.check_weights(self.global_step, checkpoint["state_dict"])
        random = {}
        for device, state in random_state().items():  # [processes, n] from the states [n] of each process
            everyone = gather_all_tensors(state.to(self.device)) if dist.is_initialized() else [state]
            random[device] = torch.stack(everyone).cpu()
        seconds = time.monotonic() - self.started
        checkpoint[KEY] = {"config": self.config, "random": random, "skipped": self.skipped, "seconds": seconds}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the random states until the training starts, since its setup draws random numbers."""
        own = checkpoint[KEY]
        self.random, self.skipped = own["random"], own.get("skipped", 0)
        self.started -= own.get("seconds", 0.0)
        self.trainer.should_stop = stopped_early(checkpoint)
        resume_epochs_from_loader(checkpoint)
        follow(self.trainer, checkpoint)

    def on_train_start(self) -> None:
        """Restore the random states of the checkpoint."""
        if self.random:
            # Copied, since torch does not accept the row of a larger tensor.
            set_random_state({device: states[self.global_rank].clone() for device, states in self.random.items()})

    def on_train_end(self) -> None:
        """Say how many steps the scaler of 16-mixed skipped."""
        if self.skipped:
            message = "trainer.precision=16-mixed: %d of %d steps were skipped, since a gradient was too large for it"
            log.warning(message, self.skipped, self.global_step)


def random_state() -> dict[str, Tensor]:
    """Return the states of the generators that networks draw from, uint8 [n] by type of device."""
    states = {"cpu": torch.get_rng_state()}
    return states | {"cuda": torch.cuda.get_rng_state()} if torch.cuda.is_available() else states


def set_random_state(states: Mapping[str, Tensor]) -> None:
    """Restore states of `random_state`, for the devices that this machine has."""
    torch.set_rng_state(states["cpu"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])
