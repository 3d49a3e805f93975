"""Everything that uses a private name of Lightning: one function for each, and one test each that says what broke."""

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.loggers import WandbLogger


def validation_follows(trainer: pl.Trainer) -> bool:
    """Return whether Lightning validates after this step; the rule has no public name."""
    fetcher = trainer.fit_loop._data_fetcher
    return (
        fetcher is not None and trainer.enable_validation and trainer.fit_loop.epoch_loop._should_check_val_fx(fetcher)
    )


def log_under_global_step(trainer: pl.Trainer) -> None:
    """Work around an off-by-one in Lightning's logged step after a mid-epoch resume."""
    trainer.fit_loop.epoch_loop._batches_that_stepped = trainer.global_step


def resume_epochs_from_loader(checkpoint: dict[str, Any]) -> None:
    """Make Lightning resume at the place in the epoch that the loader saved.

    Lightning's own count fails if a run resumes twice from the last step of an epoch: it trains the second of these
    epochs again. Here the last step of an epoch is the start of the next. The progress of the loops in the checkpoint
    is changed in place.
    """
    fit = checkpoint["loops"]["fit_loop"]
    batches, epochs = fit["epoch_loop.batch_progress"], fit["epoch_progress"]
    begun = checkpoint["DataModule"]["epoch"] + 1
    over = batches["is_last_batch"]
    if over:
        batches["total"] |= dict.fromkeys(batches["total"], batches["total"]["processed"])
        batches["current"] |= dict.fromkeys(batches["current"], 0)
        batches["is_last_batch"] = False
    done = begun - (not over)
    for count in (epochs["total"], epochs["current"]):
        count |= {"ready": begun, "started": begun, "processed": done, "completed": done}


def started_run(logger: WandbLogger) -> Any:
    """Return the W&B run of a logger if it was started, else None; its property `experiment` would start one."""
    return logger._experiment
