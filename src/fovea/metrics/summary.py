"""From scores by image to a table and to means."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from fovea.metrics.lesion_size import by_size
from fovea.metrics.scoring import Scoring
from fovea.metrics.statistics import mean_interval

Scores = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Scores by id, output (`prediction`, `level_1`, …, or a class) and name; every image has the same."""


def summary_of(
    rows: Scores,
    patients: Sequence[str],
    unit: str,
    scoring: Scoring,
    classes: Sequence[str] = (),
    groups: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Any]:
    """All that a summary says of the scores: their means, how sure that of Dice is, and Dice by the lesion's size.

    Args:
        rows: The prediction has `dice`, `hd95`, `surface_dice` and `size`.
        patients: The patient of each image, in the order of the rows.
        unit: `mm` or `px`, of the distances.
        scoring: How the scores were made.
        classes: Outputs of the rows that are single classes.
        groups: Ids of images whose means are also taken among themselves, by name.
    """
    summary = summarise(rows, classes)
    dice, sizes = column(rows, "prediction", "dice"), column(rows, "prediction", "size")
    ends = mean_interval(dice, patients, scoring.resamples, scoring.seed)
    summary["dice"]["ci95"] = None if ends is None else list(ends)
    summary["hd95"]["unit"] = unit
    summary["surface_dice"] |= {"unit": unit, "tolerance": scoring.surface_tolerance}
    if groups:
        summary["groups"] = {
            name: summarise({image_id: rows[image_id] for image_id in ids}, classes) for name, ids in groups.items()
        }
    return summary | {"dice_by_size": by_size(sizes, dice, scoring.size_bounds)}


def summarise(rows: Scores, classes: Sequence[str] = ()) -> dict[str, Any]:
    """Mean and standard deviation over images (of the population) of each score.

    Those of the levels stand under `levels`, and those of single classes, where there are any, under `classes`.
    """
    first = next(iter(rows.values()))
    means = {output: {name: _mean_std(column(rows, output, name)) for name in first[output]} for output in first}
    found = means.pop("prediction")
    single = {name: means.pop(name) for name in classes}
    return found | {"levels": means} | ({"classes": single} if single else {})


def column(rows: Scores, output: str, name: str) -> list[float]:
    """One score of one output, image by image in the order of the rows."""
    return [row[output][name] for row in rows.values()]


def table(rows: Scores, patients: Sequence[str]) -> tuple[list[str], list[list[object]]]:
    """Return the header and the rows of `per_image.csv`, sorted by id.

    The columns are the id, the patient, the scores of the prediction, then those of levels and classes as
    `level_1_dice`. `patients` has the order of `rows`.
    """
    first = next(iter(rows.values()))
    names = [
        (output, name)
        for output in sorted(first, key=lambda each: (each != "prediction", each))
        for name in first[output]
    ]
    header = ["id", "patient"] + [name if output == "prediction" else f"{output}_{name}" for output, name in names]
    body: list[list[object]] = []
    for image_id, patient in sorted(zip(rows, patients, strict=True)):
        body.append([image_id, patient, *(f"{rows[image_id][output][name]:.6f}" for output, name in names)])
    return header, body


def _mean_std(values: Sequence[float]) -> dict[str, float]:
    return {"mean": statistics.fmean(values), "std": statistics.pstdev(values)}
