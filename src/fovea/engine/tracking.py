"""Send the evaluations and the checkpoint of a training to trackers."""

from collections.abc import Iterable, Mapping, Sequence
from csv import DictReader
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger, TensorBoardLogger

from fovea.engine.evaluate import Evaluation
from fovea.engine.loggers import Tracker
from fovea.pictures.contact_sheet import contact_sheet


def publish(
    loggers: Iterable[Logger], run: Path, checkpoint: Path, step: int, evaluations: Mapping[str, Evaluation]
) -> None:
    """Send each evaluation (means, Dice by threshold, rows of the contact sheet) and the checkpoint to trackers."""
    for logger in loggers:
        for split, (summary, sheet) in evaluations.items():
            name = f"evaluate/{split}"
            curve, means = _curve(run / name / "thresholds.csv"), _means(name, summary)
            if isinstance(logger, Tracker):
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
        if isinstance(logger, Tracker) and logger.log_checkpoint:
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


def _log_curve(logger: Tracker, name: str, curve: Sequence[Mapping[str, float]]) -> None:
    """Log Dice against the threshold as rows of the history with their own axis, so that runs share one chart.

    W&B's own plot of a table is one chart per run, and an artifact, which `wandb sync` expects outside the run folder.
    """
    if curve:
        logger.experiment.define_metric(f"{name}/threshold", hidden=True, summary="none")
        logger.experiment.define_metric(f"{name}/dice", step_metric=f"{name}/threshold", summary="max")
    for row in curve:
        logger.experiment.log({f"{name}/{key}": value for key, value in row.items()})


def _log_checkpoint(logger: Tracker, checkpoint: Path) -> None:
    """Log the checkpoint as an artifact; offline it is not copied, but uploaded from the run folder later."""
    from wandb import Artifact

    artifact = Artifact(f"model-{logger.experiment.id}", type="model")
    artifact.add_file(str(checkpoint.resolve()), name=checkpoint.name, policy="immutable")
    logger.experiment.log_artifact(artifact, aliases=["latest", checkpoint.stem])
