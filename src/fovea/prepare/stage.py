"""The prepare stage: from images and labels to a store of maps."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import cv2
from pydantic import Field
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from fovea.data.images.folder import Folder
from fovea.data.store import Store
from fovea.data.table import Annotations
from fovea.prepare.job import Item, Job
from fovea.prepare.labels.label import Label
from fovea.prepare.quality import drawn, validations, write_quality
from fovea.prepare.refiners import Refiner
from fovea.prepare.verdict import Survey
from fovea.runtime.bounds import Count, NonNegativeInt, PositiveFraction, check
from fovea.runtime.errors import first_few
from fovea.runtime.files import sha256
from fovea.runtime.record import versions
from fovea.runtime.workers import in_parallel

log = logging.getLogger(__name__)

Page = Callable[[Path, Survey, Callable[[str], tuple[Any, ...]], Mapping[str, object]], None]
"""Writes a page about a survey. It asks for `Job.view` by image ID; the parameters are those of the maps."""

_PACKAGES = ("fovea", "numba", "numpy", "opencv-python-headless", "pillow", "pydensecrf2", "scipy")


def prepare(
    dataset: Folder,
    label: Label,
    refiner: Refiner,
    store: Path,
    parameters: Mapping[str, Any],
    thresholds: Annotated[Sequence[PositiveFraction], Field(min_length=1)] = (),
    workers: Count = 1,
    quality: Literal["none", "labels", "masks"] = "none",
    quality_masks: Count | None = None,
    shards: Count = 1,
    shard: NonNegativeInt | None = None,
    page: Page | None = None,
) -> Survey:
    """Make the maps of all labeled images.

    Maps are written one by one, each with a record of what it was made from; the manifest is written last. A second
    run makes only maps that are missing or were made from something else, and ends with the same bytes. Several
    processes may work on one store, each on a shard; then a last run without a shard writes the manifest.
    `label` reads and draws the annotations, `refiner` fits a drawn map to its image; `parameters` are those of both,
    see `fovea.data.maps.parameters`. Quality is measured at `thresholds`, and `page` writes `quality.html`, see
    `fovea.report.quality_page`. `configs/prepare.yaml` describes the other arguments. A ValueError if the labels are
    invalid, the store has maps of other parameters, labels or images, or not one map could be made.
    """
    _check(label, refiner, quality, thresholds, shards, shard)
    _compare_reading(dataset, getattr(refiner, "reading", ()))
    target = Store(store)
    target.refuse_mixture(parameters, {name: dataset.image_path(name) for name in dataset.ids}, label.path)
    table, path = _read(label, dataset.ids), Path(label.path).expanduser()
    labels = {"sha256": sha256(path), **table.summary()}  # now: somebody may change the file during the run
    labeled = [image_id for image_id in dataset.ids if len(table.of(image_id))]
    if not labeled:
        raise ValueError(f"{label.path}: {table}; none can be used; correct the rows that were dropped")
    unlabeled = sorted(set(dataset.ids) - set(labeled))
    splits, errors = dataset.splits(), validations(path)
    empty = sorted({*unlabeled} - {*splits["test"], *splits.get("unlabeled", ())})  # these need no label
    if shard is not None:
        labeled, quality = labeled[shard::shards], "none"
    masked = _masked(dataset, labeled, quality_masks, splits["test"]) if quality == "masks" else frozenset()
    items = [Item(image_id, table.of(image_id), image_id in masked) for image_id in labeled]
    made_with = _made_with(dataset, refiner, parameters)
    job = Job(dataset, target, label, refiner, made_with, () if quality == "none" else tuple(thresholds))
    target.start()
    statistics, rows, failures, damaged = _run(job, items, workers)
    survey = Survey(rows, thresholds, empty, table.summary(), failures, statistics, errors, damaged)
    if shard is None:
        about = {"labels": labels, "unlabeled": unlabeled}
        if ids := getattr(refiner, "trained_on", None):
            about["trained_on"] = ids
        _finish(job, survey, items, about, page)
    return survey


def _check(
    label: Label, refiner: Refiner, quality: str, thresholds: Sequence[float], shards: int, shard: int | None
) -> None:
    for part, kind, names in ((label, "labels", ("path", "read", "draw")), (refiner, "refine", ("__call__",))):
        if lacks := [name for name in names if not hasattr(part, name)]:
            raise ValueError(f"{kind}: {type(part).__name__} has no {lacks[0]}; see docs/extending.md")
    if not label.path:
        raise ValueError("labels.path is not given; set it to the file or folder of labels")
    if shard is not None and shard >= shards:
        raise ValueError(f"shard must be below shards={shards}, got {shard}")
    if thresholds or quality != "none":
        check(prepare, {"thresholds": thresholds}, "labels")


def _read(label: Label, ids: Sequence[str]) -> Annotations:
    """Read the labels; their class may be yours."""
    table: Any = label.read(ids)
    if not isinstance(table, Annotations):
        got = f"a {type(table).__name__}, not fovea.data.table.Annotations"
        raise ValueError(f"labels: {type(label).__name__}.read returns {got}")
    return table


def _compare_reading(dataset: Folder, networks: Sequence[Mapping[str, Any]]) -> None:
    """Warn of a network of the refiner whose training read the files of images in another way."""
    here = {"range": dataset.range and list(dataset.range), "exif": dataset.exif}
    for key, value in here.items():
        if others := [network[key] for network in networks if network[key] != value]:
            message = "refine: a network was trained with data.%s=%s, here it is %s, so it sees other images"
            log.warning(message, key, others[0], value)


def _made_with(dataset: Folder, refiner: Refiner, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the maps depend on, beside labels and images."""
    made_with: dict[str, Any] = {"parameters": dict(parameters), "versions": versions(_PACKAGES)}
    if dataset.channels == 1:  # a refiner sees gray values instead of colors
        made_with["channels"] = 1
    if digest := getattr(refiner, "digest", None):
        made_with["weights"] = digest
    return made_with


def _masked(dataset: Folder, labeled: Sequence[str], count: int | None, test: Sequence[str]) -> frozenset[str]:
    """Return the images whose masks are opened; refuse none, and warn of those in test."""
    masked = frozenset(drawn(filter(dataset.has_mask, labeled), count))
    if not masked:
        raise ValueError(f"quality=masks: no labeled image of {dataset.root} has a mask; set quality=labels")
    dataset.warn_of_classes()
    if tested := sorted(masked.intersection(test)):
        advice = "a level that is chosen by them makes test scores too high; leave these images out of labels.path"
        log.warning("quality=masks compares with %d masks of test (%s): %s", len(tested), first_few(tested, 2), advice)
    return masked


def _run(
    job: Job, items: Sequence[Item], workers: int
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, float]], dict[str, str], dict[str, str]]:
    """Return by ID, in the order of the items: statistics and quality of the maps, why an image failed, or a mask."""
    results = {}
    light = replace(job, dataset=job.dataset.without_caches()) if workers > 1 else job
    with tqdm(total=len(items), desc="fovea-prepare", unit="image") as bar:
        for item, result in in_parallel(light, items, workers, _one_thread):
            results[item.image_id] = result
            bar.update()
    ordered = {item.image_id: results[item.image_id] for item in items}
    done = {image_id: result for image_id, result in ordered.items() if not isinstance(result, str)}
    failures = {image_id: result for image_id, result in ordered.items() if isinstance(result, str)}
    if failures and not done:
        raise ValueError(f"none of {len(items)} maps could be made; the first: {next(iter(failures.values()))}")
    statistics = {image_id: figures for image_id, (figures, _, _) in done.items()}
    rows = {image_id: row for image_id, (_, row, _) in done.items() if row}
    return statistics, rows, failures, {image_id: line for image_id, (_, _, line) in done.items() if line}


def _one_thread() -> None:
    """Use one thread in each process: the threads of a library would compete for the same cores."""
    cv2.setNumThreads(1)
    threadpool_limits(1, user_api="blas")


def _finish(job: Job, survey: Survey, items: Sequence[Item], about: Mapping[str, Any], page: Page | None) -> None:
    """Write the table and the page of the quality, then the manifest."""
    if survey.rows:
        write_quality(job.store.path / "quality.csv", survey.rows)
        if page is not None:
            by_id = {item.image_id: item for item in items}
            # It reads maps from the store, so that memory does not grow with their number.
            view, parameters = lambda image_id: job.view(by_id[image_id]), job.made_with["parameters"]
            page(job.store.path / "quality.html", survey, view, parameters)
    made_of = {name: figures["made_of"] for name, figures in survey.statistics.items()}
    if strange := [name for name, made in made_of.items() if (job.store.record(name) or {}).get("made_of") != made]:
        few = first_few(strange, 2)
        for name in ("quality.csv", "quality.html"):  # of a mixture
            (job.store.path / name).unlink(missing_ok=True)
        raise ValueError(f"{job.store.path}: another process wrote other maps ({few}); give each its own store")
    job.store.finish({**job.made_with, **about, "images": survey.statistics, "failures": survey.failures})
