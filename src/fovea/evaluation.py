"""Scores of a trained model on one split: a table by image, a summary, and a sheet of pictures."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from fovea.data.images import write_image
from fovea.data.plan import Plan, evaluation_plan
from fovea.data.samples import EvaluationSamples, Transform
from fovea.data.spacing import common_spacing
from fovea.gaze.fixations import FixationTable, read_fixations
from fovea.gaze.levels import GRID, dice_at, quantised
from fovea.metrics.calibration import CalibrationError
from fovea.metrics.image import scores_of_image
from fovea.metrics.scoring import Scoring
from fovea.metrics.summary import Rows, summary_of, table
from fovea.report.contact_sheet import contact_sheet
from fovea.report.evaluation_sheet import ranked, tiles
from fovea.runtime.errors import FoveaError
from fovea.runtime.files import write_csv, write_json
from fovea.runtime.instantiate import instantiate
from fovea.runtime.processes import leave_signals_alone
from fovea.supervision.reading import labels

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Evaluation:
    """How to evaluate, apart from the model: what stands in `configs/evaluate.yaml`."""

    size: int  # side of the model's input, in pixels
    classes: int
    normalize: Transform
    threshold: float  # of a pseudo-mask that is scored against
    num_workers: int
    scoring: Scoring
    sheet_rows: int  # rows of the contact sheet; 0 for none
    fixations: str | None  # CSV to draw on the sheet, if it is there
    dose: float = 1.0  # share of the gaze that is drawn
    flips: Sequence[int] = ()  # axes that the module takes the mean of flips along; written into the summary


def evaluate(
    module: nn.Module, plan: Plan, split: str, settings: Evaluation, device: torch.device, checkpoint: Path, out: Path
) -> dict[str, Any]:
    """Write the tables of `write_scores` and `contact_sheet.png` into `out`, and return the summary.

    Args:
        module: A supervision module in evaluation mode on `device`.
        plan: The images and what they are scored against.
        split: `train`, `val` or `test`.
        settings: See `Evaluation`.
        device: Where the module is.
        checkpoint: Named in the summary.
        out: Folder, made if need be.

    Raises:
        FoveaError: the split is empty, a file cannot be read, or `out` cannot be written.
    """
    ids = plan.split(split)
    spacing, unit = common_spacing(plan.dataset, ids)
    samples = EvaluationSamples(plan, ids, settings.size, settings.normalize, settings.threshold)
    loader: DataLoader[dict[str, Any]] = DataLoader(
        samples, batch_size=1, num_workers=settings.num_workers, worker_init_fn=leave_signals_alone
    )
    calibration, tolerance = CalibrationError(settings.scoring.calibration_bins), settings.scoring.surface_tolerance
    rows: dict[str, dict[str, dict[str, float]]] = {}
    curves: list[np.ndarray] = []
    for batch in tqdm(loader, desc=f"evaluate {split}", unit="image"):
        outputs = predict_batch(module, batch["image"].to(device), batch["target"].shape[1:])
        truth, image_id = batch["target"][0].numpy(), batch["id"][0]
        probability = outputs["prediction"][0].cpu().numpy()
        calibration.update(probability, truth)
        if settings.classes == 1:
            curves.append(dice_at(quantised(np.nan_to_num(probability[0])), truth, GRID))
        masks = {name: label_map(each) for name, each in outputs.items()}
        rows[image_id] = scores_of_image(masks, truth, settings.classes, spacing[image_id], tolerance)
    patients = [plan.dataset.patient(image_id) for image_id in rows]
    summary = summary_of(rows, patients, unit, settings.scoring) | {
        "calibration_error": calibration.compute(),
        "n": len(rows),
        "split": split,
        "select_on": plan.select_on,
        "checkpoint": str(checkpoint),
        "tta": list(settings.flips),
    }
    write_scores(out, rows, summary, curves)
    if settings.sheet_rows:
        dice = {image_id: row["prediction"]["dice"] for image_id, row in rows.items()}
        write_image(out / "contact_sheet.png", draw_sheet(module, samples, dice, settings, device))
    return summary


def write_scores(out: Path, rows: Rows, summary: dict[str, Any], curves: Sequence[np.ndarray]) -> None:
    """Write `per_image.csv`, `summary.json` and, of images' Dice by threshold, `thresholds.csv` with the means.

    Args:
        out: Folder, made if need be.
        rows: Scores of each image.
        summary: Of all.
        curves: Dice at each threshold of `fovea.gaze.levels.GRID`, an array an image; none with several classes.
    """
    write_csv(out / "per_image.csv", *table(rows))
    write_json(out / "summary.json", summary)
    if curves:
        means = zip(GRID, np.mean(curves, axis=0), strict=True)
        write_csv(out / "thresholds.csv", ["threshold", "dice"], [(each, f"{dice:.6f}") for each, dice in means])


def settings_of(model: dict[str, Any], command: dict[str, Any]) -> Evaluation:
    """What belongs to the model from the configuration that it was trained with, the rest from the command's."""
    return Evaluation(
        size=model["data"]["size"],
        classes=model["data"]["classes"],
        normalize=instantiate(model["data"]["normalize"]),
        threshold=command["data"]["select_threshold"],
        num_workers=command["data"]["num_workers"],
        scoring=instantiate(command["scoring"]),
        sheet_rows=command["sheet_rows"],
        fixations=command["gaze"]["fixations"],
        dose=command["gaze"]["dose"],
        flips=command.get("tta", {}).get("axes", ()),
    )


def split_plan(command: dict[str, Any], split: str, parameters: dict[str, Any]) -> Plan:
    """What an evaluation of `split` reads, from the `data` and `gaze` groups of the command's configuration."""
    data = command["data"]
    dataset = instantiate(data["dataset"])
    return evaluation_plan(dataset, data["root"], split, data["select_on"], command["gaze"]["store"], parameters)


def headline(summary: dict[str, Any], out: Path) -> str:
    """One line on an evaluation."""
    return (
        f"{summary['split']}: Dice {summary['dice']['mean']:.4f} ± {summary['dice']['std']:.4f}, "
        f"IoU {summary['iou']['mean']:.4f} over {summary['n']} images against {summary['select_on']} files; {out}"
    )


@torch.inference_mode()
def predict_batch(module: nn.Module, image: torch.Tensor, size: Sequence[int]) -> dict[str, torch.Tensor]:
    """Probabilities [B, K, *size] by name: the prediction's and, where the mode has them, its levels'."""
    outputs: dict[str, torch.Tensor] = module(image, size)
    return outputs


def label_map(probability: torch.Tensor) -> np.ndarray:
    """Labels [H, W] of the first image of probabilities [B, K, H, W]."""
    return labels(probability)[0].cpu().numpy()


def draw_sheet(
    module: nn.Module, samples: EvaluationSamples, dice: dict[str, float], settings: Evaluation, device: torch.device
) -> np.ndarray:
    """A contact sheet, uint8 [H, W, 3], of `settings.sheet_rows` images from the worst Dice to the best."""
    plan = samples.plan
    table = _fixations(settings.fixations, settings.dose, plan)
    chosen = ranked(dice, settings.sheet_rows)
    rows: list[dict[str, np.ndarray]] = []
    for image_id in chosen:
        sample = samples[samples.ids.index(image_id)]
        target = sample["target"].numpy() > 0
        outputs = predict_batch(module, sample["image"][None].to(device), target.shape)
        rows.append(
            tiles(
                plan.dataset.image(image_id),
                table.of(image_id) if table is not None else None,
                plan.store.read(image_id) if plan.store is not None and plan.store.has(image_id) else None,
                {name: label_map(value) > 0 for name, value in outputs.items()},
                target,
                "truth" if plan.select_on == "mask" else "pseudo-mask",
            )
        )
    titles = max((list(row) for row in rows), key=len)
    labels_ = [f"{image_id}\nDice {dice[image_id]:.2f}" for image_id in chosen]
    return contact_sheet([[row.get(title) for title in titles] for row in rows], titles, labels_)


def _fixations(path: str | None, dose: float, plan: Plan) -> FixationTable | None:
    """The fixations to draw where a store is in use; a sheet without them is still worth having."""
    if plan.store is None or path is None or not Path(path).is_file():
        return None
    try:
        return read_fixations(Path(path), plan.dataset.ids).first(dose)
    except FoveaError as error:
        log.warning("the contact sheet shows no fixations: %s", error)
        return None
