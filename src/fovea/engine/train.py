"""One training run: from a resolved configuration to a run folder with checkpoints and an evaluation."""

import io
import logging
import os
import signal
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import LambdaCallback, ProgressBar
from pytorch_lightning.loggers import Logger
from pytorch_lightning.plugins.environments import LightningEnvironment
from pytorch_lightning.plugins.io import TorchCheckpointIO
from pytorch_lightning.utilities.exceptions import SIGTERMException

from fovea.data.loader import killed_workers_explained
from fovea.data.source import Source, Split, Training
from fovea.engine.build import build
from fovea.engine.checkpoint import load
from fovea.engine.datamodule import DataModule, check_last_batch
from fovea.engine.evaluate import Evaluation, evaluate, headline
from fovea.engine.loggers import opened, publish, rewind
from fovea.engine.resume import resume_from
from fovea.engine.segmenter import Segmenter
from fovea.runtime.app import ignore_further, interrupt
from fovea.runtime.config import check_targets, instantiate
from fovea.runtime.files import put_aside, remove_abandoned, write_bytes, write_json
from fovea.runtime.job import failure_recorded
from fovea.runtime.objective import FILE as OUTCOME
from fovea.runtime.objective import value_of
from fovea.runtime.processes import first, one_job, restarted
from fovea.runtime.record import TRAINING

log = logging.getLogger(__name__)
NOISE = (
    r".*isinstance\(treespec, LeafSpec\).*",  # between Lightning and torch
    r".*is smaller than the logging interval.*",  # a short epoch is valid
    r".*does not have many workers.*",  # data.num_workers=0 was chosen
    r".*Total length of `EvaluationLoader` across ranks is zero.*",  # our own log names this case: no val images
    r".*`srun` command is available.*",  # compute=local on a cluster was chosen
    r".*Checkpoint directory .* exists and is not empty.*",  # a resumed run
    r"Grad strides do not match bucket view strides.*",  # of 1x1 kernels with channels_last, on several processes
)
BUILT = ("backbone", "callbacks", "logger", "loss", "optimizer", "trainer")


def train(config: dict[str, Any], source: Source, training: Training, held_out: Mapping[str, Split]) -> float | None:
    """Train, then evaluate the checkpoint to publish on `config["evaluate"]`.

    `training` is what is trained and validated on, `held_out` has the splits of `config["evaluate"]` by name. Return
    the value of `config["objective"]`; None if its split was not evaluated.
    """
    for message in NOISE:
        warnings.filterwarnings("ignore", message=message)
    pl.seed_everything(config["seed"], workers=True, verbose=False)
    run = Path(config["run_dir"])
    check_targets({part: config[part] for part in BUILT if config.get(part)})
    data = DataModule(training, source.batch_size, source.num_workers, source.drop_last, source.seed)
    log.info("%s", training.description)
    segmenter = Segmenter(build(config), config, source.predictor)
    path, step = begin(config, segmenter)
    with opened(config) as loggers:
        with one_job(run):
            trainer = make_trainer(config, training, loggers)
            check_last_batch(segmenter.supervision, data, trainer.world_size)
            if first():
                log.info("%s", describe_step(trainer, data))
            # Of any process, before the others lose the connection to it.
            with failure_recorded(run), killed_workers_explained():
                fit(trainer, segmenter, data, path, step)
        if not trainer.is_global_zero:
            return None
        best = run / "checkpoints" / "best.ckpt"
        checkpoint = best if best.is_file() and training.val.ids else best.with_name("last.ckpt")
        # the module itself is back on the CPU
        evaluations = evaluate_run(config, source, training, held_out, checkpoint, trainer.strategy.root_device)
        publish(loggers, config, checkpoint, trainer.global_step, evaluations)
    return value_of(config["objective"], {split: summary for split, (summary, _) in evaluations.items()})


def begin(config: dict[str, Any], segmenter: Segmenter) -> tuple[Path | None, int | None]:
    """Return the checkpoint to resume and its step; remove from the run folder what came after it."""
    run = Path(config["run_dir"])
    last = run / "checkpoints" / "last.ckpt"
    choice = "auto" if restarted() and last.exists() else config["ckpt_path"]  # a restarted job resumes its own run
    path, step = resume_from(choice, run, config, segmenter.supervision) or (None, None)
    if path is not None:
        log.info("resumes from step %d of %s", step, path)
    if first():
        remove_abandoned(run / "checkpoints")
        rewind(run, step)
    else:
        for library in ("lightning_fabric", "pytorch_lightning"):  # the first process logs the same
            logging.getLogger(library).setLevel(logging.WARNING)
    return path, step


def fit(trainer: pl.Trainer, segmenter: Segmenter, data: DataModule, path: Path | None, step: int | None) -> None:
    """Fit, from the start or from a checkpoint; write `checkpoints/` and `training.json` into the run folder."""
    run = Path(trainer.default_root_dir)
    last = run / "checkpoints" / "last.ckpt"
    kept = last.exists()
    try:
        with ended_by_sigterm(trainer):
            trainer.fit(segmenter, datamodule=data, ckpt_path=path, weights_only=True)
    except SystemExit as error:
        # Lightning raises SystemExit on SIGTERM and KeyboardInterrupt; any other SystemExit comes from a requeue.
        cause = KeyboardInterrupt("SIGTERM") if isinstance(error, SIGTERMException) else error.__context__
        if isinstance(cause, KeyboardInterrupt):
            if launcher := trainer.strategy.launcher:
                launcher.procs.clear()  # type: ignore[attr-defined]  # when they end, it would kill this process
            ignore_further()
            raise cause from None
        raise
    if trainer.global_step <= segmenter.skipped:
        raise ValueError(nothing_trained(trainer, segmenter))
    trained = trainer.global_step > (step or 0)
    if not (trained or kept):  # ckpt_path names a checkpoint of another run
        trainer.save_checkpoint(last, weights_only=False)
    if trainer.is_global_zero and trained:  # what another process evaluated may have been replaced since
        put_aside(run / "evaluate")
    if trainer.is_global_zero and (trained or not (run / TRAINING).exists()):  # killed after the last checkpoint
        facts = {"seconds": round(time.monotonic() - segmenter.started, 1), "steps": trainer.global_step}
        write_json(run / TRAINING, facts | {"labels": dict(data.training.labels)} | images_of_step(trainer, data))


@contextmanager
def ended_by_sigterm(trainer: pl.Trainer) -> Iterator[None]:
    """Let SIGTERM end a training of one process after a step, as Lightning does, and one of several at once.

    Our handler would end a step in the middle. Lightning's, in several processes, sends a message to the others from
    wherever each of them is, so they may wait for each other forever: ours ends the first one, which kills the others.
    """
    ours = signal.getsignal(signal.SIGTERM)
    several = trainer.strategy.launcher is not None or ours is signal.SIG_IGN  # the first process, or another one

    def before_lightning(*_: Any) -> None:
        if ours is interrupt and not several:  # Lightning would call both
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def after_lightning(*_: Any) -> None:
        if several:
            signal.signal(signal.SIGTERM, ours)

    hooks = LambdaCallback(on_fit_start=before_lightning, on_train_start=after_lightning)
    trainer.callbacks.insert(0, hooks)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        if ours is interrupt:
            signal.signal(signal.SIGTERM, interrupt)


def set_aside(trainer: pl.Trainer, segmenter: pl.LightningModule) -> None:
    """Mark the run as not finished, since it trains now; what an earlier training left here gets a number."""
    run = Path(trainer.default_root_dir)
    if trainer.is_global_zero:
        for name in (TRAINING, OUTCOME):
            (run / name).unlink(missing_ok=True)
        put_aside(run / "evaluate")
        if trainer.ckpt_path is None:
            put_aside(run / "checkpoints")  # its best one could outlive a run that is not validated


def nothing_trained(trainer: pl.Trainer, segmenter: Segmenter) -> str:
    """Return why a run has trained nothing, and what to set."""
    if segmenter.skipped:
        skipped = f"trainer.precision=16-mixed skipped all {segmenter.skipped} steps, since a gradient was too large"
        return f"nothing was trained: {skipped}; train longer, or set trainer.precision=bf16-mixed or 32-true"
    fix = "raise it, or trainer.max_epochs, trainer.max_time or trainer.limit_train_batches if set"
    return f"nothing was trained: 0 steps with trainer.max_steps={trainer.max_steps}; {fix}"


def make_trainer(config: dict[str, Any], training: Training, loggers: list[Logger]) -> pl.Trainer:
    """Return the Trainer of `config["trainer"]`; without val images, callbacks that monitor a score are left out."""
    chosen = {name: call for name, call in config["callbacks"].items() if call}
    callbacks = [instantiate(call, f"callbacks.{name}", pl.Callback) for name, call in chosen.items()]
    if not training.val.ids:
        log.warning("no val images: the result is the last checkpoint")
        callbacks = [call for call in callbacks if not str(getattr(call, "monitor", "")).startswith("val/")]
    settings = dict(config["trainer"])
    # Without a progress bar of ours, Lightning would add its own.
    settings.setdefault("enable_progress_bar", any(isinstance(call, ProgressBar) for call in callbacks))
    trainer: pl.Trainer = instantiate(settings | {"_partial_": True}, "trainer")(
        logger=loggers,
        callbacks=[*callbacks, LambdaCallback(on_train_start=set_aside)],
        plugins=[WholeCheckpoints()],
        default_root_dir=config["run_dir"],
        use_distributed_sampler=False,  # our loaders give each process its part
    )
    environment = getattr(trainer.strategy, "cluster_environment", None)
    if trainer.num_nodes > 1 and type(environment) is LightningEnvironment and "MASTER_PORT" not in os.environ:
        fix = "start it by compute=slurm_ddp, sbatch or torchrun, or set trainer.num_nodes=1"
        raise ValueError(f"trainer.num_nodes={trainer.num_nodes}: nothing starts the processes of other nodes; {fix}")
    return trainer


class WholeCheckpoints(TorchCheckpointIO):
    """Write checkpoints under a temporary name beside the final one, then rename.

    Lightning writes into the system's temporary folder and moves the file. If that is another disk, as on most
    clusters, the move is a copy onto the final name, and a full disk or a kill leaves a part of a checkpoint.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint; a ValueError if the folder cannot be written, or the disk is full."""
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        write_bytes(Path(path), buffer.getvalue())


def evaluate_run(
    config: dict[str, Any],
    source: Source,
    training: Training,
    held_out: Mapping[str, Split],
    checkpoint: Path,
    device: torch.device,
) -> dict[str, Evaluation]:
    """Return what `evaluate` returns for a checkpoint, by split."""
    module = load(checkpoint, device).module
    evaluations = {}
    for name, split in held_out.items():
        if not split.ids:
            log.warning("no %s images: nothing to evaluate (evaluate=[test] reads the test images, once)", name)
            continue
        out = Path(config["run_dir"]) / "evaluate" / name
        seen, predictor = {*training.ids} & {*split.ids}, source.predictor(module)
        evaluations[name] = evaluate(predictor, source, split, config, str(checkpoint), seen, device, out)
        log.info("%s", headline(evaluations[name][0], out))
    return evaluations


def images_of_step(trainer: pl.Trainer, data: DataModule) -> dict[str, int]:
    """Return the number of images in a step of the optimizer, and of processes; the last step may have fewer."""
    processes = trainer.num_devices * trainer.num_nodes
    images = data.batch_size * processes * trainer.accumulate_grad_batches
    return {"images_per_step": images, "processes": processes}


def describe_step(trainer: pl.Trainer, data: DataModule) -> str:
    """Describe a step in one line; the learning rate does not depend on the number of images."""
    images, processes = images_of_step(trainer, data).values()
    if images == data.batch_size:
        return f"{images} {data.training.unit} per step"
    parts = f"batches of {data.batch_size}" + (f" on each of {processes} processes" if processes > 1 else "")
    parts += f", {trainer.accumulate_grad_batches} accumulated" if trainer.accumulate_grad_batches > 1 else ""
    return f"{images} {data.training.unit} per step: {parts}; optimizer.lr is not scaled"
