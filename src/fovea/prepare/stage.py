"""The prepare stage: images and fixations in, a store of pseudo-masks out."""

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from fovea.data.fixations import FixationTable, read_fixations
from fovea.data.images.folder import Folder
from fovea.data.parameters import Parameters
from fovea.data.store import Store
from fovea.prepare.job import Done, Job, Look, View
from fovea.prepare.quality import INSIDE, drawn, means, write_quality
from fovea.prepare.refiners.crf import check_backend
from fovea.prepare.verdict import Survey, Verdict
from fovea.runtime.errors import first_few
from fovea.runtime.files import sha256
from fovea.runtime.processes import in_parallel
from fovea.runtime.record import versions

QUALITY = ("none", "labels", "masks")
"""What is measured: nothing, what gaze and maps tell alone, or also ground-truth masks (nothing else opens those)."""

Page = Callable[[Path, Survey, Callable[[str], View], Mapping[str, object]], None]
"""Writes a file about a survey; views are asked for by image id, and the parameters are those of the maps."""

_PACKAGES = ("fovea", "numba", "numpy", "opencv-python-headless", "pillow", "pydensecrf2", "scipy")


@dataclass(frozen=True)
class Report:
    """What `prepare` did.

    Attributes:
        done: number of images that got a map.
        failures: a line for each image that could not be done, by id.
        without_fixations: ids that nobody looked at; they have no map.
        table: counts of the fixation table, see `FixationTable.summary`.
        survey: the quality of the images; None where none was asked for.
    """

    done: int
    failures: Mapping[str, str]
    without_fixations: Sequence[str]
    table: Mapping[str, int]
    survey: Survey | None

    @property
    def quality(self) -> Mapping[str, float] | None:
        """Means over the images, see `fovea.prepare.quality`."""
        return means(self.survey.rows) if self.survey else None

    @property
    def verdict(self) -> Verdict | None:
        """What the quality means for training."""
        return self.survey.verdict() if self.survey else None


def prepare(
    dataset: Folder,
    fixations: Path,
    store: Path,
    parameters: Parameters,
    workers: int = 1,
    quality: str = "none",
    thresholds: Sequence[float] = (0.5, 0.3),
    quality_masks: int | None = None,
    page: Page | None = None,
    shards: int = 1,
    shard: int | None = None,
) -> Report:
    """Make the maps of all images that somebody looked at.

    Maps are written one by one, each with a record of what it was made of; the manifest, without which nothing trains
    on them, comes last. Started again, it makes only what is missing or was made of something else, and ends with the
    same bytes; several processes may work on one store. Each may have a shard of the images: then it makes their maps
    alone, and a last call without a shard writes the rest. An image that cannot be read does not stop the others.

    Args:
        dataset: the images.
        fixations: the CSV.
        store: folder of the store.
        parameters: of heatmap and CRF.
        workers: processes; the result does not depend on their number.
        quality: one of `QUALITY`; all but `none` write `quality.csv` beside the maps.
        thresholds: of the levels, where the quality is measured.
        quality_masks: number of masks to open, drawn from those there are; None opens all.
        page: writes `quality.html` where there is a quality, see `fovea.report.quality_page`.
        shards: parts that the images are divided into.
        shard: the part to work on, from 0; None for all images and the manifest.

    Raises:
        ValueError: an argument or the CSV is bad, the store holds maps of other parameters, a file cannot be
            written, or not one map could be made.
    """
    _check_arguments(dataset, parameters, workers, quality, thresholds)
    _check_shard(shards, shard)
    drawn((), quality_masks)  # refuses a bad number before anything is written
    target = Store(store)
    target.refuse_mixture(parameters.flat())
    table = read_fixations(Path(fixations), dataset.ids, parameters.min_duration).first(parameters.dose)
    seen = [image_id for image_id in dataset.ids if len(table.of(image_id))]
    if not seen:
        raise ValueError(f"{fixations}: {table}; there is nothing to work on, check the coordinates and durations")
    unseen = sorted(set(dataset.ids) - set(seen))
    if shard is not None:
        seen, quality = seen[shard::shards], "none"
    target.start()
    masked = frozenset(drawn(filter(dataset.has_mask, seen), quality_masks) if quality == "masks" else ())
    job = Job(dataset, target, parameters, versions(_PACKAGES), tuple(thresholds) if quality != "none" else None)
    done, failures = _run(job, [Look(image_id, table.of(image_id), image_id in masked) for image_id in seen], workers)
    if seen and not done:
        raise ValueError(f"none of {len(seen)} maps could be made; the first: {failures[seen[0]]}")
    if shard is not None:
        return Report(len(done), failures, unseen, table.summary(), None)
    survey = None
    if rows := {image_id: result.quality for image_id, result in done.items() if result.quality}:
        survey = Survey(rows, thresholds, unseen, table.summary(), failures)
        _write_quality(job, survey, table, page)
    counts = {"sha256": sha256(Path(fixations)), **table.summary()}
    _finish(job, done, fixations=counts, failures=failures, without_fixations=unseen)
    return Report(len(done), failures, unseen, table.summary(), survey)


def _check_arguments(
    dataset: Folder, parameters: Parameters, workers: int, quality: str, thresholds: Sequence[float]
) -> None:
    check_backend(parameters.crf.backend)
    if not isinstance(workers, int) or workers < 1:
        raise ValueError(f"workers: {workers} is not possible; set a number of processes from 1 on")
    if quality not in QUALITY:
        raise ValueError(f"quality: {quality!r} is not offered; choose {' or '.join(QUALITY)}")
    if quality != "none" and not thresholds:
        raise ValueError(f"quality: {quality} needs labels.thresholds to measure at; name one at least")
    if quality == "masks" and not any(map(dataset.has_mask, dataset.ids)):
        raise ValueError(f"quality: no image of {dataset.root} has a mask; add masks or set quality=none")


def _check_shard(shards: int, shard: int | None) -> None:
    if not isinstance(shards, int) or shards < 1:
        raise ValueError(f"shards: {shards} is not possible; set a number of parts from 1 on")
    if shard is not None and (not isinstance(shard, int) or not 0 <= shard < shards):
        raise ValueError(f"shard: {shard} is not possible; with shards={shards} set 0 to {shards - 1}, or null")


def _write_quality(job: Job, survey: Survey, table: FixationTable, page: Page | None) -> None:
    """Write table and page; what the page shows is read back from the store, so that not all maps are in memory."""

    def view(image_id: str) -> View:
        return job.view(Look(image_id, table.of(image_id), INSIDE in survey.rows[image_id]))

    write_quality(job.store.path / "quality.csv", survey.rows)
    if page is not None:
        page(job.store.path / "quality.html", survey, view, job.parameters.flat())


def _finish(job: Job, done: Mapping[str, Done], **rest: object) -> None:
    """Write the manifest: what the maps were made with, what is known of each, and the rest."""
    images = {image_id: result.statistics for image_id, result in done.items()}
    _refuse_disturbance(job.store, images)
    made_with = {"parameters": job.parameters.flat(), "versions": job.versions}
    job.store.finish({**made_with, "images": images, **rest})


def _refuse_disturbance(store: Store, images: Mapping[str, Mapping[str, Any]]) -> None:
    """Before the manifest says so: the maps are those of this run, not of another that writes to the same store."""
    strange = [name for name, known in images.items() if (store.record(name) or {}).get("made_of") != known["made_of"]]
    if strange:
        raise ValueError(
            f"{store.path}: another process wrote other maps there meanwhile ({first_few(strange, 2)}); "
            "give each set of parameters a store of its own and run again"
        )


def _run(job: Job, looks: Sequence[Look], workers: int) -> tuple[dict[str, Done], dict[str, str]]:
    """The job for all images: what was done and what failed, in the order of the images."""
    results: dict[str, Done | str] = {}
    light = replace(job, dataset=_light(job.dataset)) if workers > 1 else job
    with tqdm(total=len(looks), desc="fovea-prepare", unit="image") as bar:
        for look, result in in_parallel(light, looks, workers, _one_thread):
            results[look.image_id] = result
            bar.update()
    ordered = {look.image_id: results[look.image_id] for look in looks}
    return (
        {image_id: result for image_id, result in ordered.items() if isinstance(result, Done)},
        {image_id: result for image_id, result in ordered.items() if isinstance(result, str)},
    )


def _one_thread() -> None:
    """The processes are the parallelism: threads of a library would wait for one another on cores that are taken."""
    cv2.setNumThreads(1)
    threadpool_limits(1, user_api="blas")


def _light(dataset: Folder) -> Folder:
    """A copy without what it can find out again: the lists of a large folder are long, see `each`."""
    light = copy(dataset)
    for name in list(vars(light)):
        if isinstance(getattr(type(light), name, None), cached_property):
            del vars(light)[name]
    return light
