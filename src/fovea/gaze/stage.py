"""The prepare stage: images and fixations in, a store of pseudo-masks out."""

import signal
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from copy import copy
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from fovea.data.folder import Folder
from fovea.gaze.crf import check_backend, refine
from fovea.gaze.fixations import Fixations, FixationTable, read_fixations
from fovea.gaze.heatmap import heatmap
from fovea.gaze.parameters import Crf, Parameters
from fovea.gaze.quality import INSIDE, drawn, means, measure, write_quality
from fovea.gaze.store import Store
from fovea.gaze.verdict import Survey, Verdict
from fovea.runtime.errors import FoveaError
from fovea.runtime.files import sha256
from fovea.runtime.provenance import versions

__all__ = ["QUALITY", "Crf", "Parameters", "Report", "make_map", "prepare"]

QUALITY = ("none", "gaze", "masks")
"""What is measured: nothing, what gaze and maps tell alone, or also ground-truth masks (nothing else opens those)."""

_PACKAGES = ("fovea", "numpy", "opencv-python-headless", "pillow", "pydensecrf2", "scipy")


@dataclass(frozen=True)
class Report:
    """What `prepare` did.

    Attributes:
        done: number of images that got a map.
        failures: a line for each image that could not be done, by id.
        without_fixations: ids that nobody looked at; they have no map.
        table: counts of the fixation table, see `FixationTable.summary`.
        quality: means over the images, see `fovea.gaze.quality`; None where none was asked for.
        verdict: what the quality means for training; None where none was asked for.
    """

    done: int
    failures: Mapping[str, str]
    without_fixations: Sequence[str]
    table: Mapping[str, int]
    quality: Mapping[str, float] | None
    verdict: Verdict | None


def make_map(image: np.ndarray, fixations: Fixations, parameters: Parameters) -> tuple[np.ndarray, np.ndarray]:
    """Heatmap and pseudo-mask of one image.

    Args:
        image: uint8 [H, W, 3], or [H, W, 1] for grey.
        fixations: those on the image.
        parameters: of both steps.

    Returns:
        The heatmap and the map, float32 [H, W] in [0, 1].
    """
    height, width = image.shape[:2]
    heat = _heatmap(fixations, (height, width), parameters)
    return heat, refine(image, heat, **asdict(parameters.crf))


def _heatmap(fixations: Fixations, size: tuple[int, int], parameters: Parameters) -> np.ndarray:
    where = fixations.x, fixations.y, fixations.duration
    return heatmap(*where, size, parameters.canvas, parameters.sigma)


def prepare(
    dataset: Folder,
    fixations: Path,
    store: Path,
    parameters: Parameters,
    workers: int = 1,
    quality: str = "none",
    thresholds: Sequence[float] = (0.5, 0.3),
    quality_masks: int | None = None,
) -> Report:
    """Make the maps of all images that somebody looked at.

    Maps are written one by one; the manifest, without which nothing trains on them, comes last. An image that cannot
    be read does not stop the others.

    Args:
        dataset: the images.
        fixations: the CSV.
        store: folder of the store.
        parameters: of heatmap and CRF.
        workers: processes; the result does not depend on their number.
        quality: one of `QUALITY`; all but `none` write `quality.csv` and `quality.html` beside the maps.
        thresholds: of the levels, where the quality is measured.
        quality_masks: number of masks to open, drawn from those there are; None opens all.

    Raises:
        FoveaError: an argument or the CSV is bad, the store holds maps of other parameters, a file cannot be
            written, or not one map could be made.
    """
    _check_arguments(dataset, parameters, workers, quality, thresholds)
    drawn((), quality_masks)  # refuses a bad number before anything is written
    target = Store(store)
    _refuse_mixture(target, parameters)
    table = read_fixations(Path(fixations), dataset.ids, parameters.min_duration)
    seen = [image_id for image_id in dataset.ids if len(table.of(image_id))]
    if not seen:
        raise FoveaError(f"{fixations}: {table}; there is nothing to work on, check the coordinates and durations")
    target.start()
    masked = frozenset(drawn(filter(dataset.has_mask, seen), quality_masks) if quality == "masks" else ())
    job = _Job(dataset, target, parameters, tuple(thresholds) if quality != "none" else None)
    looks = {image_id: _Look(table.of(image_id), image_id in masked) for image_id in seen}
    done, failures = _run(job, looks, workers)
    if not done:
        raise FoveaError(f"none of {len(seen)} maps could be made; the first: {failures[seen[0]]}")
    unseen = sorted(set(dataset.ids) - set(seen))
    survey = None
    if rows := {image_id: result.quality for image_id, result in done.items() if result.quality}:
        survey = Survey(rows, thresholds, unseen, table.summary(), failures)
        _write_quality(job, survey, table)
    inputs = {
        "parameters": parameters.flat(),
        "versions": versions(_PACKAGES),
        "fixations": {"sha256": sha256(Path(fixations)), **table.summary()},
    }
    images = {image_id: result.statistics for image_id, result in done.items()}
    target.finish({**inputs, "images": images, "failures": failures, "without_fixations": unseen})
    found = (means(rows), survey.verdict()) if survey else (None, None)
    return Report(len(done), failures, unseen, table.summary(), *found)


def _check_arguments(
    dataset: Folder, parameters: Parameters, workers: int, quality: str, thresholds: Sequence[float]
) -> None:
    check_backend(parameters.crf.backend)
    if not isinstance(workers, int) or workers < 1:
        raise FoveaError(f"gaze.workers: {workers} is not possible; set a number of processes from 1 on")
    if quality not in QUALITY:
        raise FoveaError(f"gaze.quality: {quality!r} is not offered; choose {' or '.join(QUALITY)}")
    if quality != "none" and not thresholds:
        raise FoveaError(f"gaze.quality: {quality} needs gaze.thresholds to measure at; name one at least")
    if quality == "masks" and not any(map(dataset.has_mask, dataset.ids)):
        raise FoveaError(f"gaze.quality: no image of {dataset.root} has a mask; add masks or set gaze.quality=none")


def _write_quality(job: "_Job", survey: Survey, table: FixationTable) -> None:
    """Write table and page; the pictures are read back from the store, so that not all maps need be in memory."""
    from fovea.report.quality_page import quality_pictures, write_page  # the report draws on this package

    def pictures(image_id: str) -> dict[str, np.ndarray]:
        image, fixations = job.dataset.image(image_id), table.of(image_id)
        heat = _heatmap(fixations, (image.shape[0], image.shape[1]), job.parameters)
        mask = job.dataset.mask(image_id) if INSIDE in survey.rows[image_id] else None
        return quality_pictures(image, fixations, heat, job.store.read(image_id), survey.thresholds[0], mask)

    write_quality(job.store.path / "quality.csv", survey.rows)
    write_page(job.store.path / "quality.html", survey, pictures, job.parameters.flat())


def _refuse_mixture(store: Store, parameters: Parameters) -> None:
    try:
        differences = store.differences(parameters.flat())
    except FoveaError:
        return  # no manifest or a damaged one: whatever lies there is made anew
    if differences:
        raise FoveaError(f"{store.path}: {', '.join(differences.values())}; set another gaze.store, or remove this one")


@dataclass(frozen=True)
class _Look:
    """The fixations on an image, and whether its mask may be opened to measure their quality."""

    fixations: Fixations
    masked: bool


@dataclass(frozen=True)
class _Done:
    statistics: dict[str, Any]
    quality: dict[str, float] | None


@dataclass(frozen=True)
class _Job:
    """What a worker needs for any image; it travels to each process once."""

    dataset: Folder
    store: Store
    parameters: Parameters
    thresholds: tuple[float, ...] | None

    def __call__(self, image_id: str, look: _Look) -> _Done | str:
        """Make and write one map; a line where the image is bad. A store that cannot be written stops everything."""
        fixations = look.fixations
        try:
            image = self.dataset.image(image_id)
            heat, refined = make_map(image, fixations, self.parameters)
            mask = self.dataset.mask(image_id) if look.masked else None
            quality = measure(fixations, heat, refined, self.thresholds, mask) if self.thresholds else None
            digest = sha256(self.dataset.image_path(image_id))
        except FoveaError as error:
            return str(error).replace(f"{self.dataset.root}/", "")  # a manifest names no place of this machine
        self.store.write(image_id, refined)
        statistics = {
            "sha256": digest,
            "fixations": len(fixations),
            "dropped": fixations.dropped,
            "duration_ms": round(float(fixations.duration.sum()), 3),
            "mean": round(float(refined.mean(dtype=np.float64)), 6),
            "above_half": round(float(np.mean(refined >= 0.5)), 6),
        }
        return _Done(statistics, quality)


def _run(job: _Job, looks: Mapping[str, _Look], workers: int) -> tuple[dict[str, _Done], dict[str, str]]:
    """The job for all images: what was done and what failed, in the order of the images."""
    results: dict[str, _Done | str] = {}
    with tqdm(total=len(looks), desc="fovea-prepare", unit="image") as bar:
        for image_id, result in _serial(job, looks) if workers == 1 else _parallel(job, looks, workers):
            results[image_id] = result
            bar.update()
    ordered = {image_id: results[image_id] for image_id in looks}
    return (
        {image_id: result for image_id, result in ordered.items() if isinstance(result, _Done)},
        {image_id: result for image_id, result in ordered.items() if isinstance(result, str)},
    )


def _serial(job: _Job, looks: Mapping[str, _Look]) -> Iterator[tuple[str, _Done | str]]:
    for image_id, look in looks.items():
        yield image_id, job(image_id, look)


def _parallel(job: _Job, looks: Mapping[str, _Look], workers: int) -> Iterator[tuple[str, _Done | str]]:
    # Spawned, not forked: a fork of a process whose libraries have started threads can hang.
    pool = ProcessPoolExecutor(
        workers, get_context("spawn"), _begin_worker, (replace(job, dataset=_light(job.dataset)),)
    )
    try:
        # Workers start with Ctrl-C on hold, so that one in the middle of its imports prints no traceback.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            futures = {pool.submit(_work, image_id, look): image_id for image_id, look in looks.items()}
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BrokenProcessPool as error:
        raise FoveaError("gaze.workers: a worker died, most likely of too little memory; set fewer workers") from error
    finally:
        pool.shutdown(cancel_futures=True)


def _light(dataset: Folder) -> Folder:
    """A copy without what it can find out again.

    A process that dies at its start, before it has read more than a pipe's buffer (64 KiB), would be waited for
    for ever, and the lists of a large folder are longer than that.
    """
    light = copy(dataset)
    for name in list(vars(light)):
        if isinstance(getattr(type(light), name, None), cached_property):
            del vars(light)[name]
    return light


_worker_job: _Job | None = None


def _begin_worker(job: _Job) -> None:
    global _worker_job
    _worker_job = job
    cv2.setNumThreads(1)  # the processes are the parallelism
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C reaches every process: end at once and without a traceback
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _work(image_id: str, look: _Look) -> _Done | str:
    assert _worker_job is not None
    return _worker_job(image_id, look)
