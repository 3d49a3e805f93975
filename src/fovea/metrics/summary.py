"""All scores of an image, and the summary of the scores of a split."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from fovea.losses import IGNORE
from fovea.metrics.overlap import masks_of, mean_of, scores, scores_of_labels
from fovea.metrics.statistics import mean_interval
from fovea.metrics.surface import surface_scores
from fovea.runtime.bounds import Count, NonNegative, NonNegativeInt, PositiveFraction

Scores = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Scores by id, output (`prediction`, `level_1`, …, or a class) and name; every image has the same."""


@dataclass(frozen=True)
class Scoring:
    """The options of an evaluation's scores; see `configs/scoring/`. A ValueError if the bounds do not rise."""

    surface_tolerance: NonNegative  # distance up to which two borders agree, in mm, or in pixels without a spacing
    size_bounds: Sequence[PositiveFraction] | None  # between sizes of lesions, shares of the image; None: thirds
    calibration_bins: Count
    resamples: NonNegativeInt  # of the bootstrap interval of the mean Dice; 0 for none
    seed: NonNegativeInt  # of the resampling

    def __post_init__(self) -> None:
        if any(lower >= upper for lower, upper in pairwise(self.size_bounds or ())):
            raise ValueError(f"size_bounds must rise, got {self.size_bounds}")


def scores_of_image(
    outputs: Mapping[str, np.ndarray],
    truth: np.ndarray,
    classes: int,
    spacing: Sequence[float],
    tolerance: float,
    names: Sequence[str] = (),
) -> dict[str, dict[str, float]]:
    """Return the overlap of every output with the truth, the mean over the classes but the background.

    The prediction also has `hd95`, `surface_dice` and `size`, and with the names of several classes all scores of each.

    `outputs` are label maps [H, W] or [D, H, W] by name: `prediction`, and `level_1`, … if there are levels. `truth` is
    one of the same shape, in which pixels of -1 are left out. `classes` are the channels of the network's output,
    `spacing` the sides of a pixel or voxel, and `tolerance` the distance up to which two borders agree, in their unit.
    """
    pairs = masks_of(outputs["prediction"], truth, classes)
    by_class = [scores(*pair) | surface_scores(*pair, spacing, tolerance) for pair in pairs]
    result = {"prediction": mean_of(by_class) | {"size": lesion_size(truth)}}
    result |= {name: scores_of_labels(labels, truth, classes) for name, labels in outputs.items() if name not in result}
    return result | (dict(zip(names, by_class, strict=True)) if names else {})


def lesion_size(truth: np.ndarray) -> float:
    """Return the share of the labeled pixels that are foreground, in [0, 1]; 0 without a labeled pixel."""
    labeled = int(np.count_nonzero(truth != IGNORE))
    return int(np.count_nonzero(truth > 0)) / labeled if labeled else 0.0


def summary_of(
    rows: Scores,
    patients: Sequence[str],
    unit: str,
    scoring: Scoring,
    classes: Sequence[str] = (),
    groups: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Any]:
    """Return the means of all scores, the interval of the mean Dice, and the Dice by size of the lesion.

    `rows` are from `scores_of_image`, `patients` those of the images in the same order. `unit`, `mm` or `px`, is that
    of distances. `classes` are the outputs that are single classes. `groups` are ids of images by name that are also
    summarized on their own.
    """
    summary = summarize(rows, classes)
    dice, sizes = column(rows, "prediction", "dice"), column(rows, "prediction", "size")
    ends = mean_interval(dice, patients, scoring.resamples, scoring.seed)
    summary["dice"]["ci95"] = None if ends is None else list(ends)
    summary["hd95"]["unit"] = unit
    summary["surface_dice"] |= {"unit": unit, "tolerance": scoring.surface_tolerance}
    if groups:
        summary["groups"] = {name: summarize({key: rows[key] for key in ids}, classes) for name, ids in groups.items()}
    return summary | {"dice_by_size": by_size(sizes, dice, scoring.size_bounds)}


def summarize(rows: Scores, classes: Sequence[str] = ()) -> dict[str, Any]:
    """Return the mean and the standard deviation over images (of the population) of each score.

    Scores of levels are under `levels`, those of single classes, if there are any, under `classes`.
    """
    first = next(iter(rows.values()))
    means = {output: {name: _mean_std(column(rows, output, name)) for name in first[output]} for output in first}
    prediction = means.pop("prediction")
    by_class = {name: means.pop(name) for name in classes}
    return prediction | {"levels": means} | ({"classes": by_class} if by_class else {})


def column(rows: Scores, output: str, name: str) -> list[float]:
    """Return one score of one output, in the order of the rows."""
    return [row[output][name] for row in rows.values()]


def table(rows: Scores, patients: Sequence[str]) -> tuple[list[str], list[list[object]]]:
    """Return the header and the rows of `per_image.csv`, sorted by id; `patients` has the order of `rows`.

    The columns are the id, the patient, the scores of the prediction, then those of levels and classes: `level_1_dice`.
    """
    first = next(iter(rows.values()))
    outputs = sorted(first, key=lambda output: (output != "prediction", output))
    names = [(output, name) for output in outputs for name in first[output]]
    header = ["id", "patient"] + [name if output == "prediction" else f"{output}_{name}" for output, name in names]
    body: list[list[object]] = []
    for image_id, patient in sorted(zip(rows, patients, strict=True)):
        body.append([image_id, patient, *(f"{rows[image_id][output][name]:.6f}" for output, name in names)])
    return header, body


def by_size(sizes: Sequence[float], values: Sequence[float], bounds: Sequence[float] | None) -> dict[str, Any]:
    """Return the number and the mean score of the images by the size of their lesion, a share of the image in [0, 1].

    The bounds between the bins rise; None: thirds of the images that have a lesion.

    Returns:
        `empty`, {`n`, `mean`} of the images without a lesion, and `bins`, from small to large, {`above`, `up_to`, `n`,
        `mean`} of the sizes in (`above`, `up_to`]. The mean of no image is None.
    """
    size, score = np.asarray(sizes, np.float64), np.asarray(values, np.float64)
    if bounds is None:
        bounds = np.quantile(size[size > 0], [1 / 3, 2 / 3]).tolist() if (size > 0).any() else []
    bins = [
        {"above": above, "up_to": up_to} | _number_and_mean(score[(size > above) & (size <= up_to)])
        for above, up_to in pairwise([0.0, *bounds, 1.0])
    ]
    return {"empty": _number_and_mean(score[size == 0]), "bins": bins}


def _number_and_mean(values: np.ndarray) -> dict[str, Any]:
    return {"n": len(values), "mean": float(values.mean()) if len(values) else None}


def _mean_std(values: Sequence[float]) -> dict[str, float]:
    return {"mean": statistics.fmean(values), "std": statistics.pstdev(values)}
