"""Lightning's loggers, tied to the run folder."""

import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from csv import reader
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import CSVLogger, Logger, WandbLogger

from fovea.runtime.config import instantiate
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


class Tracker(WandbLogger):
    """Lightning's logger, which is told whether the run's checkpoint goes with it.

    Its own `log_model` knows the checkpoints that are chosen on a score: under `data.protocol=published` there is none.
    """

    def __init__(self, log_checkpoint: bool, **settings: Any) -> None:
        super().__init__(**settings)
        self.log_checkpoint = log_checkpoint


def wandb(
    folder: str,
    project: str,
    offline: bool = False,
    entity: str | None = None,
    group: str | None = None,
    job_type: str | None = None,
    tags: Sequence[str] = (),
    log_model: bool = False,
) -> Tracker:
    """Track in Weights & Biases. The run's id is made of the run folder, so that a resumed job continues its run.

    Args:
        folder: The run folder; `provenance.json` there goes into the run's configuration.
        project: Of Weights & Biases.
        offline: Record in the folder alone, for `wandb sync`.
        entity: User or team; by default the user's.
        group: Of runs; by default the folder of the sweep, or of the job that trains several.
        job_type: What made the run.
        tags: Of the run.
        log_model: Upload the run's checkpoint at the end, as an artefact.
    """
    path = Path(folder).resolve()
    agent = "WANDB_SWEEP_ID" in os.environ  # an agent of W&B has named the run already
    return Tracker(
        log_checkpoint=log_model,
        name="/".join(path.parts[-2:]),
        id=None if agent else hashlib.sha256(str(path).encode()).hexdigest()[:16],
        resume=None if agent else "allow",
        save_dir=folder,
        project=project,
        entity=entity,
        group=group or _group(path),
        job_type=job_type,
        tags=list(tags),
        config={"provenance": _provenance(path)},
        mode="offline" if offline else None,
    )


@contextmanager
def opened(config: Mapping[str, Any]) -> Iterator[list[Logger]]:
    """The loggers of `config["logger"]`, which end with the block: as failed, if it fails.

    A tracker that stayed open would go on in the next job of a sweep.

    Raises:
        ValueError: Weights & Biases cannot start.
    """
    loggers = [instantiate(logger) for logger in config["logger"].values() if logger]
    code = 1
    try:
        for logger in loggers:
            if isinstance(logger, WandbLogger) and first():
                _start(logger, Path(config["run_dir"]))
            if not isinstance(logger, CSVLogger):  # config.yaml stands beside metrics.csv already
                logger.log_hyperparams(config)
        yield loggers
        code = 0
    except KeyboardInterrupt:
        code = 130
        raise
    finally:
        for logger in loggers:
            if isinstance(logger, WandbLogger) and first():
                _finish(logger, code)


def _start(logger: WandbLogger, run: Path) -> None:
    from wandb.errors import Error

    try:
        experiment = logger.experiment
    except Error as error:
        reason = " ".join(str(error).split()).partition(". ")[0].rstrip(".")
        mend = "run `wandb login`, set WANDB_API_KEY, or record offline with logger.wandb.offline=true"
        raise ValueError(f"logger=wandb: {reason}; {mend}") from error
    for name in ("recipe.yaml", "changes.diff"):
        if (run / name).is_file():
            copy = shutil.copy(run / name, experiment.dir)  # a link to it would break where the folder is moved
            experiment.save(str(copy), base_path=experiment.dir, policy="now")


def _finish(logger: WandbLogger, code: int) -> None:
    """End a run that was begun; asking for `experiment` would begin one."""
    if logger._experiment is not None:
        logger.experiment.finish(exit_code=code)


def _group(run: Path) -> str | None:
    """The folder of the sweep that a run is a part of, or of the job that trains it beside others."""
    sweeps = [each for each in run.parents if (each / "multirun.yaml").is_file()]
    jobs = [each for each in run.parents if (each / "recipe.yaml").is_file()]
    above = [*sweeps[:1], *jobs[-1:]]
    return "/".join(above[0].parts[-2:]) if above else None


def _provenance(run: Path) -> dict[str, Any]:
    path = run / "provenance.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
