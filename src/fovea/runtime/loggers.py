"""Lightning's loggers, tied to the run folder."""

import hashlib
import warnings
from collections.abc import Iterable
from pathlib import Path

from pytorch_lightning.loggers import CSVLogger, Logger, WandbLogger


def csv(folder: str) -> CSVLogger:
    """Write `<folder>/metrics.csv`; a file that is there already, from before a resume, is kept under a number."""
    table = Path(folder) / "metrics.csv"
    if table.exists():
        number = sum(1 for _ in Path(folder).glob("metrics.*.csv")) + 1
        table.rename(table.with_name(f"metrics.{number}.csv"))  # Lightning would delete it
    logger = CSVLogger(save_dir=folder, name="", version="")
    with warnings.catch_warnings(action="ignore"):  # that the folder is not empty: it is the run folder
        _ = logger.experiment
    return logger


def wandb(folder: str, project: str, offline: bool, entity: str | None = None, group: str | None = None) -> WandbLogger:
    """Track in Weights & Biases. The run's id is made of the run folder, so that a resumed job continues its run."""
    path = Path(folder).resolve()
    return WandbLogger(
        name="/".join(path.parts[-2:]),
        id=hashlib.sha256(str(path).encode()).hexdigest()[:16],
        resume="allow",
        save_dir=folder,
        project=project,
        entity=entity,
        group=group,
        offline=offline,
        log_model=False,
    )


def close(loggers: Iterable[Logger]) -> None:
    """End the runs of trackers, or the next job of a sweep would go on in this one's."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.experiment.finish()
