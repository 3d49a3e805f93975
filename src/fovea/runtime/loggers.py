"""Lightning's loggers, tied to the run folder."""

import hashlib
import warnings
from collections.abc import Iterable
from csv import reader
from pathlib import Path

from pytorch_lightning.loggers import CSVLogger, Logger, WandbLogger

from fovea.runtime.files import write_bytes, write_csv
from fovea.runtime.processes import first


def csv(folder: str) -> CSVLogger:
    """Write `<folder>/metrics.csv`; the rows of a file that is there already are kept (see `rewind`)."""
    table = Path(folder) / "metrics.csv"
    rows = table.read_bytes() if table.exists() else None
    logger = CSVLogger(save_dir=folder, name="", version="")
    with warnings.catch_warnings(action="ignore"):  # that the folder is not empty: it is the run folder
        writer = logger.experiment  # deletes the file
    if rows is not None and first():
        write_bytes(table, rows)
        writer.metrics_keys = rows.decode().splitlines()[0].split(",")
    return logger


def rewind(folder: Path, step: int | None) -> None:
    """Cut `metrics.csv` back to what had been logged when a checkpoint of so many steps was written.

    A run that was killed may have logged more; going on from the checkpoint it will log that again. Without a
    checkpoint to go on from, the file is another run's and is kept under a number.
    """
    table = folder / "metrics.csv"
    if not table.exists():
        return
    if step is None:
        number = sum(1 for _ in folder.glob("metrics.*.csv")) + 1
        table.rename(folder / f"metrics.{number}.csv")
        return
    with table.open(newline="", encoding="utf-8") as file:
        header, *rows = reader(file)
    place = header.index("step")
    kept = [row for row in rows if len(row) == len(header) and int(row[place]) < step]
    if len(kept) < len(rows):
        write_csv(table, header, kept)


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
