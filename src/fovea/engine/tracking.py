"""What trackers are given when a training has ended: its evaluations as they lie in the run folder, its checkpoint."""

from collections.abc import Iterable, Mapping
from csv import DictReader
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger

from fovea.data.images.files import read_image
from fovea.engine.loggers import Tracker
from fovea.pictures.contact_sheet import rows_of_sheet
from fovea.pictures.evaluation_sheet import ranked


def publish(loggers: Iterable[Logger], run: Path, checkpoint: Path, summaries: Mapping[str, Mapping[str, Any]]) -> None:
    """Give trackers the evaluations (means, Dice by threshold, the rows of the contact sheet), and the checkpoint."""
    for logger in loggers:
        if not isinstance(logger, Tracker):
            continue
        for split, summary in summaries.items():
            means = {name: each["mean"] for name, each in summary.items() if isinstance(each, dict) and "mean" in each}
            logger.experiment.summary.update({f"evaluate/{split}/{name}": mean for name, mean in means.items()})
            _log_pictures(logger, f"evaluate/{split}/images", run / "evaluate" / split)
            _log_thresholds(logger, f"evaluate/{split}/thresholds", run / "evaluate" / split / "thresholds.csv")
        if logger.log_checkpoint:
            _log_checkpoint(logger, checkpoint)


def _log_pictures(logger: Tracker, name: str, evaluation: Path) -> None:
    """The rows of the contact sheet, each a picture with its image's id and Dice."""
    sheet = evaluation / "contact_sheet.png"
    if not sheet.is_file():
        return
    with (evaluation / "per_image.csv").open(newline="", encoding="utf-8") as file:
        dice = {row["id"]: float(row["dice"]) for row in DictReader(file)}
    if strips := rows_of_sheet(read_image(sheet, channels=3)):
        captions = [f"{image_id}: Dice {dice[image_id]:.3f}" for image_id in ranked(dice, len(strips))]
        logger.log_image(name, strips, caption=captions)


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
