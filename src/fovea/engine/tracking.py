"""Send the results of a training to Weights & Biases: its evaluations and its checkpoint."""

from collections.abc import Iterable, Mapping, Sequence
from csv import DictReader
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger

from fovea.engine.loggers import Tracker
from fovea.pictures.contact_sheet import SheetRow, contact_sheet


def publish(
    loggers: Iterable[Logger],
    run: Path,
    checkpoint: Path,
    evaluations: Mapping[str, tuple[Mapping[str, Any], Sequence[SheetRow]]],
) -> None:
    """Send the checkpoint and each evaluation (means, Dice by threshold, rows of the contact sheet) to trackers."""
    for logger in loggers:
        if not isinstance(logger, Tracker):
            continue
        for split, (summary, sheet) in evaluations.items():
            name = f"evaluate/{split}"
            for group, scores in {"": summary, **summary.get("classes", {})}.items():
                start = f"{name}/{group}_" if group else f"{name}/"
                means = {
                    key: value["mean"] for key, value in scores.items() if isinstance(value, dict) and "mean" in value
                }
                logger.experiment.summary.update({f"{start}{key}": mean for key, mean in means.items()})
            added = summary.get("metrics", {})
            logger.experiment.summary.update({f"{name}/{key}": value for key, value in added.items()})
            if sheet:
                captions = [": ".join(row.label.splitlines()) for row in sheet]
                logger.log_image(f"{name}/images", [contact_sheet([row]) for row in sheet], caption=captions)
            _log_thresholds(logger, f"{name}/thresholds", run / name / "thresholds.csv")
        if logger.log_checkpoint:
            _log_checkpoint(logger, checkpoint)


def _log_thresholds(logger: Tracker, name: str, table: Path) -> None:
    """Log Dice against the threshold as rows of the history with their own axis, so that runs share one chart.

    W&B's own plot of a table is one chart per run, and an artifact, which `wandb sync` expects outside the run folder.
    """
    if not table.is_file():
        return
    logger.experiment.define_metric(f"{name}/threshold", hidden=True, summary="none")
    logger.experiment.define_metric(f"{name}/dice", step_metric=f"{name}/threshold", summary="max")
    with table.open(newline="", encoding="utf-8") as file:
        for row in DictReader(file):
            logger.experiment.log({f"{name}/{key}": float(value) for key, value in row.items()})


def _log_checkpoint(logger: Tracker, checkpoint: Path) -> None:
    """Log the checkpoint as an artifact; offline it is not copied, but uploaded from the run folder later."""
    from wandb import Artifact

    artifact = Artifact(f"model-{logger.experiment.id}", type="model")
    artifact.add_file(str(checkpoint.resolve()), name=checkpoint.name, policy="immutable")
    logger.experiment.log_artifact(artifact, aliases=["latest", checkpoint.stem])
