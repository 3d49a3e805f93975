"""The LightningModule: a supervision mode, an optimiser, a schedule and metrics."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from typing import Any

import pytorch_lightning as pl
import torch
import torch.distributed as dist
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torchmetrics.utilities.distributed import gather_all_tensors

from fovea.data.source import Predictor
from fovea.engine.checkpoint import KEY
from fovea.engine.lightning_private import resume_epochs_from_loader
from fovea.metrics.per_image import PerImage
from fovea.models.layout import compile_networks, put_channels_last
from fovea.supervision.mode import Mode
from fovea.supervision.outputs import labels


class Segmenter(pl.LightningModule):
    """Trains and validates any supervision mode; knows no data set and no method.

    Args:
        supervision: The mode: `losses`, `forward` and `after_step`, holding all trained state.
        optimizer: Factory: parameters to an optimiser.
        scheduler: Factory: optimiser, `max_steps` and `steps_per_epoch` to a schedule stepped after every step.
        classes: Classes of a prediction, K; 1 is one foreground class.
        config: The resolved configuration as plain values; the checkpoints carry it.
        predictor: Returns a callable that predicts full-size images with the mode; None: the mode itself.
        channels_last: Keep the weights of convolutions with the channels last. The activations follow.
        compile: Compile the mode's networks with torch.compile. Names of weights stay, and validation does not use
            it, so that a checkpoint's scores are those of the evaluation.
    """

    monitor = "val/dice"

    def __init__(
        self,
        supervision: Mode,
        optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer],
        scheduler: Callable[..., torch.optim.lr_scheduler.LRScheduler],
        classes: int,
        config: Mapping[str, Any],
        predictor: Callable[[Mode], Predictor] | None = None,
        channels_last: bool = False,
        compile: bool = False,
    ) -> None:
        super().__init__()
        self.supervision = supervision
        if channels_last:
            put_channels_last(supervision)
        self.compiled = compile
        if compile:
            compile_networks(supervision)
        self.make_optimizer = optimizer
        self.make_scheduler = scheduler
        self.config = dict(config)
        self.predictor = predictor
        self.scores = PerImage(classes=classes)
        self.random: Mapping[str, Tensor] = {}  # the random states of the checkpoint that is gone on from

    @property
    def progress(self) -> float:
        """The part of training that is done, in [0, 1]."""
        return self.global_step / max(self.trainer.estimated_stepping_batches, 1)

    def training_step(self, batch: Mapping[str, Any], batch_idx: int) -> Tensor:
        """One batch; every term of the mode's losses is logged as `train/<term>`."""
        terms = self.supervision.losses(batch, self.progress)
        values = {f"train/{name}": value.detach() for name, value in terms.items()}
        self.log_dict(values)
        self.log("loss", terms["loss"].detach(), prog_bar=True, logger=False)
        return terms["loss"]

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Step, then let the mode follow, say with a moving average of weights."""
        super().optimizer_step(*args, **kwargs)
        self.supervision.after_step(self.progress)

    def validation_step(self, batch: Mapping[str, Any], batch_idx: int) -> None:
        """One image at its native size, so that scores are those of the evaluation."""
        target = batch["target"]
        with torch.compiler.set_stance("force_eager") if self.compiled else nullcontext():
            read = self.supervision if self.predictor is None else self.predictor(self.supervision)
            prediction = labels(read(batch["image"], target.shape[1:])["prediction"])
        self.scores.update(prediction, target, batch["index"])

    def on_validation_epoch_end(self) -> None:
        """Log the means over images as `val/dice`, `val/iou`, …"""
        means = self.scores.compute()
        self.scores.reset()
        # The means are those of all processes already; `sync_dist` spares the user a warning that they might not be.
        self.log_dict({f"val/{name}": value.float() for name, value in means.items()}, sync_dist=True)
        self.log("dice", means["dice"].float(), prog_bar=True, logger=False, sync_dist=True)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """The optimiser, and the schedule stepped after each of its steps."""
        optimizer = self.make_optimizer(self.supervision.parameters())
        self.trainer.fit_loop.setup_data()  # the number of batches is not known before
        max_steps = int(self.trainer.estimated_stepping_batches)
        steps_per_epoch = max(1, int(self.trainer.num_training_batches) // self.trainer.accumulate_grad_batches)
        scheduler = self.make_scheduler(optimizer, max_steps=max_steps, steps_per_epoch=steps_per_epoch)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step", "frequency": 1}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the configuration beside the weights, as plain values, and each process's random state."""
        checkpoint[KEY] = {"config": self.config, "random": self._gathered(random_state())}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the random states until the training starts: setting it up draws random numbers."""
        self.random = checkpoint[KEY]["random"]
        resume_epochs_from_loader(checkpoint)

    def on_train_start(self) -> None:
        """Go on with the random numbers where the checkpoint was written."""
        if self.random:
            # Copied, since torch does not take the row of a larger tensor.
            set_random_state({device: states[self.global_rank].clone() for device, states in self.random.items()})

    def _gathered(self, states: dict[str, Tensor]) -> dict[str, Tensor]:
        """States [n] of this process as those of all [processes, n]."""
        gathered = {}
        for device, state in states.items():
            everyone = gather_all_tensors(state.to(self.device)) if dist.is_initialized() else [state]
            gathered[device] = torch.stack(everyone).cpu()
        return gathered


def random_state() -> dict[str, Tensor]:
    """The states [n], uint8, of the generators that networks draw from, by kind of device."""
    states = {"cpu": torch.get_rng_state()}
    return states | {"cuda": torch.cuda.get_rng_state()} if torch.cuda.is_available() else states


def set_random_state(states: Mapping[str, Tensor]) -> None:
    """Put generators back into states of `random_state`, as far as this machine has the devices."""
    torch.set_rng_state(states["cpu"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])
