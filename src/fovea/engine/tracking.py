"""What trackers are given when a training has ended: its evaluations as they lie in the run folder, its checkpoint."""

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
            means = {name: each["mean"] for name, each in summary.items() if isinstance(each, dict) and "mean" in each}
            logger.experiment.summary.update({f"evaluate/{split}/{name}": mean for name, mean in means.items()})
            if sheet:
                pictures = [contact_sheet([row]) for row in sheet]
                captions = [": ".join(row.label.splitlines()) for row in sheet]
                logger.log_image(f"evaluate/{split}/images", pictures, caption=captions)
            _log_thresholds(logger, f"evaluate/{split}/thresholds", run / "evaluate" / split / "thresholds.csv")
        if logger.log_checkpoint:
            _log_checkpoint(logger, checkpoint)


def _log_thresholds(logger: Tracker, name: str, table: Path) -> None:
    """Dice against threshold, as rows of the history with an axis of their own.

    Curves of several runs then lie in one chart. W&B's own plot of a table is a chart for each run, and an artefact,
    which waits for `wandb sync` outside the run folder.
    """
    if not table.is_file():
        return
    logger.experiment.define_metric(f"{name}/threshold", hidden=True, summary="none")
    logger.experiment.define_metric(f"{name}/dice", step_metric=f"{name}/threshold", summary="max")
    with table.open(newline="", encoding="utf-8") as file:
        for row in DictReader(file):
            logger.experiment.log({f"{name}/{key}": float(value) for key, value in row.items()})


def _log_checkpoint(logger: Tracker, checkpoint: Path) -> None:
    """The checkpoint as an artefact; offline it is not copied, and uploaded from the run folder later."""
    from wandb import Artifact

    artifact = Artifact(f"model-{logger.experiment.id}", type="model")
    artifact.add_file(str(checkpoint.resolve()), name=checkpoint.name, policy="immutable")
    logger.experiment.log_artifact(artifact, aliases=["latest", checkpoint.stem])
