"""Lightning's loggers, bound to the run folder, and what a training sends to trackers at its end."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from csv import DictReader, reader
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger, TensorBoardLogger, WandbLogger
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor

from fovea.engine.evaluate import Evaluation
from fovea.engine.lightning_private import started_run
from fovea.pictures.contact_sheet import contact_sheet
from fovea.runtime.config import instantiate
from fovea.runtime.files import put_aside, read_mapping, unwritable, write_bytes, write_csv
from fovea.runtime.processes import first


class MetricsTable(Logger):
    """Write `metrics.csv` in a run folder; an existing table is continued (see `rewind`).

    Lightning's own logger rewrites the file in place when a column is new, so that a kill leaves a part of it.
    """

    name = version = ""
    EVERY = 100  # steps between two writes; a checkpoint writes too

    def __init__(self, folder: str) -> None:
        super().__init__()
        self.path, self.rows, self.written = Path(folder) / "metrics.csv", list[dict[str, Any]](), 0
        if self.path.exists():
            with self.path.open(newline="", encoding="utf-8") as file:
                self.rows = list(DictReader(file))
        self.written = len(self.rows)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Tensor | float], step: int | None = None) -> None:
        """Add a row."""
        values = {key: value.item() if isinstance(value, Tensor) else value for key, value in metrics.items()}
        self.rows.append(values | {"step": step})
        if step is not None and (step + 1) % self.EVERY == 0:
            self.save()

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: `config.yaml` is beside the table."""

    @rank_zero_only
    def save(self) -> None:
        """Write the rows; Lightning calls it at the end too."""
        if len(self.rows) > self.written:
            columns = sorted({key for row in self.rows for key in row})
            write_csv(self.path, columns, ([row.get(column, "") for column in columns] for row in self.rows))
            self.written = len(self.rows)


def rewind(folder: Path, step: int | None) -> None:
    """Cut `metrics.csv` back to the rows before a step, which the run logs again after it resumes there.

    Without a step the file belongs to another run, and is kept under a number.
    """
    table = folder / "metrics.csv"
    if step is None:
        put_aside(table)
    elif table.exists():
        with table.open(newline="", encoding="utf-8") as file:
            header, *rows = reader(file)
        column = header.index("step")
        write_csv(table, header, [row for row in rows if int(row[column]) < step])


def wandb(folder: str, offline: bool, group: str | None, log_model: bool, **settings: Any) -> WandbLogger:
    """Track in Weights & Biases; `configs/logger/wandb.yaml` describes the arguments.

    The id is derived from the run folder and the tables of earlier runs there, so that a resumed job continues its run,
    and no other one does. `publish` follows `log_model`: Lightning's own needs a checkpoint that was chosen on a score.
    """
    path = Path(folder).resolve()
    names = [str(path), *sorted(table.name for table in path.glob("metrics.*.csv"))]
    agent = "WANDB_SWEEP_ID" in os.environ  # the server has chosen the id already
    return WandbLogger(
        name="/".join(path.parts[-2:]),
        id=None if agent else hashlib.sha256("/".join(names).encode()).hexdigest()[:16],
        resume=None if agent else "allow",
        save_dir=folder,
        group=group or _group(path),
        config={"provenance": read_mapping(path / "provenance.json")},
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

    A tracker that stayed open would continue in the next job of a sweep. A ValueError if Weights & Biases cannot start.
    """
    loggers = [instantiate(each, f"logger.{name}", Logger) for name, each in config["logger"].items() if each]
    trackers = [logger for logger in loggers if isinstance(logger, WandbLogger) and first()]
    code = 1
    try:
        for tracker in trackers:
            _start(tracker, Path(config["run_dir"]))
        for logger in loggers:
            logger.log_hyperparams(config)
        yield loggers
        code = 0
    except KeyboardInterrupt:
        code = 130
        raise
    finally:
        for run in filter(None, map(started_run, trackers)):
            try:
                run.finish(exit_code=code)
            except OSError as error:  # of its own log; of a run that failed, the error of the run counts
                if code == 0:
                    raise unwritable(Path(config["run_dir"], "wandb"), error) from error


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
            copy = Path(experiment.dir, name)  # a link to it would break if the folder is moved
            write_bytes(copy, (run / name).read_bytes())
            experiment.save(str(copy), base_path=experiment.dir, policy="now")


def publish(
    loggers: Iterable[Logger], config: Mapping[str, Any], checkpoint: Path, step: int, of: Mapping[str, Evaluation]
) -> None:
    """Send evaluations by split (means, Dice by threshold, rows of the sheet), and the checkpoint if asked."""
    run, upload = Path(config["run_dir"]), any((each or {}).get("log_model") for each in config["logger"].values())
    for logger in loggers:
        for split, (summary, sheet) in of.items():
            name = f"evaluate/{split}"
            curve, means = _curve(run / name / "thresholds.csv"), _means(name, summary)
            if isinstance(logger, WandbLogger):
                logger.experiment.summary.update(means)
                if sheet:
                    captions = [": ".join(row.label.splitlines()) for row in sheet]
                    logger.log_image(f"{name}/images", [contact_sheet([row]) for row in sheet], caption=captions)
                _log_curve(logger, f"{name}/thresholds", curve)
            elif isinstance(logger, TensorBoardLogger):
                logger.log_metrics(means, step)
                if sheet:
                    logger.experiment.add_image(f"{name}/images", contact_sheet(sheet), step, dataformats="HWC")
                for row in curve:  # its axis has whole numbers only
                    percent = round(100 * row["threshold"])
                    logger.experiment.add_scalar(f"{name}/thresholds/dice", row["dice"], percent)
                logger.save()
        if isinstance(logger, WandbLogger) and upload:
            _log_checkpoint(logger, checkpoint)


def _means(name: str, summary: Mapping[str, Any]) -> dict[str, float]:
    """Return the means of an evaluation, of all, of each class and of each modality, and its added metrics."""
    means = {f"{name}/{key}": value for key, value in summary.get("metrics", {}).items()}
    for group, scores in {"": summary, **summary.get("classes", {}), **summary.get("groups", {})}.items():
        start = f"{name}/{group}_" if group else f"{name}/"
        means |= {
            f"{start}{key}": each["mean"] for key, each in scores.items() if isinstance(each, dict) and "mean" in each
        }
    return means


def _curve(table: Path) -> list[dict[str, float]]:
    if not table.is_file():
        return []
    with table.open(newline="", encoding="utf-8") as file:
        return [{key: float(value) for key, value in row.items()} for row in DictReader(file)]


def _log_curve(logger: WandbLogger, name: str, curve: Sequence[Mapping[str, float]]) -> None:
    """Log Dice against the threshold as rows of the history with their own axis, so that runs share one chart.

    W&B's own plot of a table is one chart per run, and an artifact, which `wandb sync` expects outside the run folder.
    """
    if curve:
        logger.experiment.define_metric(f"{name}/threshold", hidden=True, summary="none")
        logger.experiment.define_metric(f"{name}/dice", step_metric=f"{name}/threshold", summary="max")
    for row in curve:
        logger.experiment.log({f"{name}/{key}": value for key, value in row.items()})


def _log_checkpoint(logger: WandbLogger, checkpoint: Path) -> None:
    """Log the checkpoint as an artifact; offline it is not copied, but uploaded from the run folder later."""
    from wandb import Artifact

    artifact = Artifact(f"model-{logger.experiment.id}", type="model")
    artifact.add_file(str(checkpoint.resolve()), name=checkpoint.name, policy="immutable")
    logger.experiment.log_artifact(artifact, aliases=["latest", checkpoint.stem])
