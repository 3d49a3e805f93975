"""Scores of a trained model on one split: a table by image, a summary, and a sheet of pictures."""

import logging
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from fovea.data.loader import EvaluationLoader
from fovea.data.source import AGAINST, Predictor, Source, Split
from fovea.engine.added_metrics import AddedMetrics
from fovea.engine.preflight import SHEET
from fovea.metrics.calibration import CalibrationError
from fovea.metrics.summary import Scores, Scoring, scores_of_image, summary_of, table
from fovea.metrics.thresholds import GRID, dice_at, quantized
from fovea.pictures.contact_sheet import SheetRow, contact_sheet, ranked
from fovea.pictures.png import write_image
from fovea.runtime.bounds import check_values
from fovea.runtime.config import instantiate
from fovea.runtime.errors import first_few
from fovea.runtime.files import make_folder, write_csv, write_json
from fovea.runtime.workers import leave_signals_alone
from fovea.supervision.checks import check_outputs
from fovea.supervision.outputs import labels

FILES = ("summary.json", "per_image.csv", "thresholds.csv", "contact_sheet.png")
"""All files of an evaluation."""

log = logging.getLogger(__name__)

Evaluation = tuple[dict[str, Any], list[SheetRow]]  # the summary, and the rows of the contact sheet


def evaluate(
    predictor: Predictor,
    source: Source,
    split: Split,
    config: Mapping[str, Any],
    checkpoint: str,
    seen: Collection[str],
    device: torch.device,
    out: Path,
) -> Evaluation:
    """Write the tables and `contact_sheet.png` into `out`; return the summary and the sheet's rows.

    The tables are `per_image.csv`, `summary.json` and, with one class, `thresholds.csv` (mean Dice at each threshold).
    The predictor predicts full-size images, e.g. a supervision module in evaluation mode on `device`. The configuration
    has `scoring`, `sheet_rows`, `sheet_tile`, `metrics` and, for evaluations of their own, `tta`. The summary has the
    text `checkpoint`. Images `seen` were trained on. A ValueError if a file cannot be read, or `out` cannot be written.
    """
    scoring: Scoring = instantiate(config["scoring"], "scoring")
    check_values(SHEET, config, "")
    make_folder(out)  # or refuse it now, not after the last image
    metrics = config.get("metrics") or {}
    loader = EvaluationLoader(split.samples, num_workers=source.num_workers, worker_init_fn=leave_signals_alone)
    calibration, added = CalibrationError(scoring.calibration_bins), AddedMetrics(metrics, source.classes)
    rows: dict[str, dict[str, dict[str, float]]] = {}
    curves: list[np.ndarray] = []
    present: set[int] = set()
    not_numbers: list[str] = []
    for batch in tqdm(loader, desc=f"evaluate {split.name}", unit="image"):
        outputs = probabilities(predictor, batch, device)
        check_outputs(outputs, source.classes, batch["target"].shape[1:])
        truth, image_id = batch["target"][0].numpy(), batch["id"][0]
        probability = outputs["prediction"][0].cpu().numpy()
        not_numbers += [image_id] * bool(np.isnan(probability).any())
        calibration.update(probability, truth)
        present.update(np.unique(truth).tolist())
        added.add(outputs["prediction"].cpu(), batch["target"])
        if source.classes == 1:
            curves.append(dice_at(quantized(np.nan_to_num(probability[0])), truth, GRID))
        masks, spacing, limit = label_maps(outputs), split.spacing(image_id), scoring.surface_tolerance
        rows[image_id] = scores_of_image(masks, truth, source.classes, spacing, limit, split.classes)
    _warn(split, present, not_numbers)
    patients = [split.patient(image_id) for image_id in rows]
    summary = summary_of(rows, patients, split.unit, scoring, split.classes, split.groups)
    summary |= {"calibration_error": calibration.compute(), "n": len(rows), "checkpoint": checkpoint}
    summary |= {"split": split.name, "select_on": split.select_on, "tta": config.get("tta", {}).get("axes", [])}
    summary |= {"training_images": len(seen)} if seen else {}
    if added:
        summary["metrics"] = added.compute()
    sheet = sheet_rows(predictor, split, rows, config["sheet_rows"], device)
    _write(out, rows, patients, summary, curves, contact_sheet(sheet, config["sheet_tile"]) if sheet else None)
    return summary, sheet


def _warn(split: Split, present: Collection[int], not_numbers: Sequence[str]) -> None:
    """Warn of classes that no image has and of probabilities that are not numbers: empty predictions may score 1."""
    if not_numbers:
        few = f"{len(not_numbers)} of {len(split.ids)} images ({first_few(not_numbers, 3)})"
        log.warning("%s: probabilities of %s are not numbers; these pixels count as background", split.name, few)
    if absent := [name for label, name in enumerate(split.classes or ["foreground"], 1) if label not in present]:
        log.warning("no image of %s has %s: its Dice is 1 where it is not predicted", split.name, first_few(absent))


def _write(
    out: Path,
    rows: Scores,
    patients: Sequence[str],
    summary: Mapping[str, Any],
    curves: Sequence[np.ndarray],
    sheet: np.ndarray | None,
) -> None:
    """Replace the files of an evaluation; the summary comes last, since without it none is read."""
    for name in FILES:
        (out / name).unlink(missing_ok=True)
    if sheet is not None:  # first: the largest file is the one that a full disk lacks space for
        write_image(out / "contact_sheet.png", sheet)
    write_csv(out / "per_image.csv", *table(rows, patients))
    if curves:
        points = zip(GRID, np.mean(curves, axis=0), strict=True)
        write_csv(out / "thresholds.csv", ["threshold", "dice"], [(at, f"{dice:.6f}") for at, dice in points])
    write_json(out / "summary.json", summary)


def headline(summary: Mapping[str, Any], out: Path) -> str:
    """Describe an evaluation in one line."""
    return (
        f"{summary['split']}: Dice {summary['dice']['mean']:.4f} ± {summary['dice']['std']:.4f}, "
        f"IoU {summary['iou']['mean']:.4f} over {summary['n']} images against {AGAINST[summary['select_on']]}; {out}"
    )


@torch.inference_mode()
def probabilities(predictor: Predictor, batch: Mapping[str, Any], device: torch.device) -> dict[str, Tensor]:
    """Return probabilities [1, K, *size] by name at the size of the target: `prediction`, and levels if any."""
    image = batch["image"]
    there = {name: each.to(device) for name, each in image.items()} if isinstance(image, Mapping) else image.to(device)
    return dict(predictor(there, batch["target"].shape[1:]))


def label_maps(outputs: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """Return the class indices [*size] of probabilities [1, K, *size] by name."""
    return {name: labels(probability)[0].cpu().numpy() for name, probability in outputs.items()}


def sheet_rows(predictor: Predictor, split: Split, rows: Scores, count: int, device: torch.device) -> list[SheetRow]:
    """Return the rows of a contact sheet: at most `count` images from the worst Dice to the best."""
    dice = {image_id: row["prediction"]["dice"] for image_id, row in rows.items()}
    drawn = []
    for image_id in ranked(dice, count):
        sample = split.samples[split.ids.index(image_id)]
        batch = next(iter(DataLoader([sample], batch_size=1)))  # type: ignore[arg-type]  # a list is a data set
        panels = split.panels(sample, label_maps(probabilities(predictor, batch, device)))
        spacing = split.spacing(image_id)  # of an image height and width; slices of a volume have its least
        pixel = (spacing[1] if len(spacing) == 2 else min(spacing)) if split.unit == "mm" else None
        drawn.append(SheetRow(f"{image_id}\nDice {dice[image_id]:.2f}", panels, split.classes, pixel))
    return drawn
