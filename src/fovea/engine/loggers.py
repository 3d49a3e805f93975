"""Lightning's loggers, bound to the run folder."""

import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from csv import reader
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import CSVLogger, Logger, WandbLogger

from fovea.engine.lightning_private import started_run
from fovea.runtime.config import instantiate
from fovea.runtime.files import write_bytes, write_csv
from fovea.runtime.processes import first


def csv(folder: str) -> CSVLogger:
    """Write `<folder>/metrics.csv`; the rows of an existing file are kept (see `rewind`)."""
    table = Path(folder) / "metrics.csv"
    rows = table.read_bytes() if table.exists() else None
    logger = CSVLogger(save_dir=folder, name="", version="")
    with warnings.catch_warnings(action="ignore"):  # the folder is not empty: it is the run folder
        writer = logger.experiment  # deletes the file
    if rows is not None and first():
        write_bytes(table, rows)
        writer.metrics_keys = rows.decode().splitlines()[0].split(",")
    return logger


def rewind(folder: Path, step: int | None) -> None:
    """Cut `metrics.csv` back to the rows before a step, which the run logs again after it resumes there.

    Without a step the file belongs to another run, and is kept under a number.
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
    column = header.index("step")
    kept = [row for row in rows if len(row) == len(header) and int(row[column]) < step]
    if len(kept) < len(rows):
        write_csv(table, header, kept)


class Tracker(WandbLogger):
    """Lightning's logger with the choice whether to upload the checkpoint of the run.

    Its own `log_model` requires a checkpoint chosen on a score; under `data.protocol=published` there is none.
    """

    def __init__(self, log_checkpoint: bool, **settings: Any) -> None:
        super().__init__(**settings)
        self.log_checkpoint = log_checkpoint


def wandb(folder: str, offline: bool, group: str | None, log_model: bool, **settings: Any) -> Tracker:
    """Track in Weights & Biases; `configs/logger/wandb.yaml` describes the arguments.

    The id is derived from the run folder, so that a resumed job continues its run.
    """
    path = Path(folder).resolve()
    agent = "WANDB_SWEEP_ID" in os.environ  # the server has chosen the id already
    provenance = path / "provenance.json"
    return Tracker(
        log_checkpoint=log_model,
        name="/".join(path.parts[-2:]),
        id=None if agent else hashlib.sha256(str(path).encode()).hexdigest()[:16],
        resume=None if agent else "allow",
        save_dir=folder,
        group=group or _group(path),
        config={"provenance": json.loads(provenance.read_text(encoding="utf-8")) if provenance.is_file() else {}},
        mode="offline" if offline else None,
        **settings,
    )


def _group(run: Path) -> str | None:
    """Return the folder of the sweep of a run, or of the job that trains it beside others."""
    sweeps = [folder for folder in run.parents if (folder / "multirun.yaml").is_file()]
    jobs = [folder for folder in run.parents if (folder / "recipe.yaml").is_file()]
    above = [*sweeps[:1], *jobs[-1:]]
    return "/".join(above[0].parts[-2:]) if above else None


@contextmanager
def opened(config: Mapping[str, Any]) -> Iterator[list[Logger]]:
    """Open the loggers of `config["logger"]` for the block, and mark their runs as failed if it fails.

    A tracker that stayed open would continue in the next job of a sweep.

    Raises:
        ValueError: Weights & Biases cannot start.
    """
    loggers = [instantiate(logger, f"logger.{name}") for name, logger in config["logger"].items() if logger]
    trackers = [logger for logger in loggers if isinstance(logger, WandbLogger) and first()]
    code = 1
    try:
        for tracker in trackers:
            _start(tracker, Path(config["run_dir"]))
        for logger in loggers:
            if not isinstance(logger, CSVLogger):  # config.yaml is beside metrics.csv already
                logger.log_hyperparams(config)
        yield loggers
        code = 0
    except KeyboardInterrupt:
        code = 130
        raise
    finally:
        for run in filter(None, map(started_run, trackers)):
            run.finish(exit_code=code)


def _start(tracker: WandbLogger, run: Path) -> None:
    from wandb.errors import Error

    try:
        experiment = tracker.experiment
    except Error as error:
        reason = " ".join(str(error).split()).partition(". ")[0].rstrip(".")
        fix = "run `wandb login`, set WANDB_API_KEY, or record offline with logger.wandb.offline=true"
        raise ValueError(f"logger=wandb: {reason}; {fix}") from error
    for name in ("recipe.yaml", "changes.diff"):
        if (run / name).is_file():
            copy = shutil.copy(run / name, experiment.dir)  # a link to it would break if the folder is moved
            experiment.save(str(copy), base_path=experiment.dir, policy="now")
