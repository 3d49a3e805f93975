"""A simulated observer: fixations made from masks, for data sets that nobody has looked at yet."""

from binascii import crc32
from dataclasses import dataclass, fields
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from fovea.data.fixations import write_fixations
from fovea.data.images.folder import Folder

_SACCADE = 45.0  # mean ms from one fixation to the next
_GOLDEN = (np.sqrt(5.0) - 1.0) / 2.0
_PUPIL = 1200  # a plausible size in the eye tracker's arbitrary units; nothing here depends on it


@dataclass(frozen=True)
class Observer:
    """How well and how long somebody looks.

    The defaults are those of `configs/observer/eyelink.yaml`, which meets the published figures of an EyeLink on
    Kvasir-SEG (Zhong et al. 2024).

    Attributes:
        accuracy: systematic offset of a whole trial, standard deviation in fractions of the image's sides.
        precision: scatter of each fixation, standard deviation in fractions of the image's sides.
        fixations: mean number of fixations on an image; one at least searches, and one looks at each target.
        scan: mean number of them that search the image before a target is found.
        reach: how far towards its boundary a target is explored, 0 its centre and 1 the boundary.
        duration: mean duration of a fixation in milliseconds.
        duration_sd: its standard deviation in milliseconds.
        shortest: floor of the duration in milliseconds.

    Raises:
        ValueError: a value is not a number of at least 0.
    """

    accuracy: float = 0.026
    precision: float = 0.02
    fixations: float = 30.0
    scan: float = 2.0
    reach: float = 0.9
    duration: float = 250.0
    duration_sd: float = 77.0
    shortest: float = 60.0

    def __post_init__(self) -> None:
        """Refuse values that make no sense."""
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < np.inf:
                raise ValueError(f"observer.{each.name}: {value!r} is not possible; set a number of at least 0")
        if self.duration <= 0:
            raise ValueError("observer.duration: 0 is not possible; set milliseconds above 0")


@dataclass(frozen=True)
class Trial:
    """One look at one image, in time order.

    Attributes:
        x: [N] fractions of the width; outside [0, 1] where the tracker places the gaze beside the image.
        y: [N] fractions of the height, likewise.
        duration: [N] whole milliseconds.
        start: [N] whole milliseconds since the image appeared.
    """

    x: np.ndarray
    y: np.ndarray
    duration: np.ndarray
    start: np.ndarray


def simulate(mask: np.ndarray, observer: Observer, rng: np.random.Generator) -> Trial:
    """Look at an image: a rough scan first, then every target from its centre outwards.

    The eyes stay on the image, but a poor tracker may see them beside it. Such fixations are kept, as an export keeps
    them: reading the table counts them and leaves them out.

    Args:
        mask: [H, W], 0 is background; each connected part of the rest is a target. An empty one is scanned only.
        observer: who looks.
        rng: the only source of chance.
    """
    targets = _targets(mask)
    total = max(2, int(rng.poisson(observer.fixations)))
    searching = min(total, 1 + int(rng.poisson(max(observer.scan - 1, 0)))) if targets else total
    points = [_scan(searching, rng)]
    for target, count in zip(targets, _shares(targets, total - searching), strict=True):
        points.append(_explore(target, count, observer.reach, rng) / mask.shape[::-1])
    path = np.concatenate(points)
    offset = rng.normal(0.0, observer.accuracy, 2)
    path = path + offset + rng.normal(0.0, observer.precision, path.shape)
    duration = _durations(len(path), observer, rng)
    pause = np.rint(rng.gamma(9.0, _SACCADE / 9.0, len(path)))
    start = np.concatenate([[0.0], np.cumsum(duration + pause)[:-1]])
    return Trial(path[:, 0], path[:, 1], duration.astype(int), start.astype(int))


def rows(image_id: str, file: str, mask: np.ndarray, observer: Observer, seed: int) -> list[tuple[object, ...]]:
    """The rows of one image, for `write_fixations`. They depend on the arguments alone, not on other images.

    Args:
        image_id: chooses the draws, together with the seed.
        file: name of the image's file, for the column IMAGE.
        mask: [H, W], 0 is background.
        observer: who looks.
        seed: of the whole table; 0 is a seed.
    """
    rng = np.random.default_rng([seed, crc32(image_id.encode())])
    trial = simulate(mask, observer, rng)
    pupil = np.rint(rng.normal(_PUPIL, 0.08 * _PUPIL, len(trial.x))).astype(int)
    columns = zip(trial.x, trial.y, trial.duration, pupil, trial.start, strict=True)
    return [
        (file, index, f"{x:.5f}", f"{y:.5f}", duration, size, start, *mask.shape)
        for index, (x, y, duration, size, start) in enumerate(columns, start=1)
    ]


def simulate_folder(dataset: Folder, out: Path, observer: Observer, seed: int = 0) -> int:
    """Write the fixation CSV of all images that have a mask; the number of its rows.

    Raises:
        ValueError: no image has a mask, a mask cannot be read, or the CSV cannot be written.
    """
    ids = [image_id for image_id in dataset.ids if dataset.has_mask(image_id)]
    if not ids:
        raise ValueError(f"{dataset.root}: no image has a mask to simulate fixations from; add masks")
    table: list[tuple[object, ...]] = []
    for image_id in tqdm(ids, desc="fovea-simulate", unit="image"):
        file = dataset.image_path(image_id).name
        table.extend(rows(image_id, file, dataset.mask(image_id), observer, seed))
    write_fixations(out, table)
    return len(table)


@dataclass(frozen=True)
class _Target:
    """A connected part of a mask: [2] centre and [N, 2] boundary as x, y in pixels, and its area."""

    centre: np.ndarray
    boundary: np.ndarray
    area: int


def _targets(mask: np.ndarray) -> list[_Target]:
    """The connected parts, largest first: that is how they are noticed."""
    count, labels, stats, centres = cv2.connectedComponentsWithStats((mask > 0).astype(np.uint8))
    targets = []
    for label in range(1, count):
        contours, _ = cv2.findContours((labels == label).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        boundary = np.concatenate(contours)[:, 0].astype(float)
        targets.append(_Target(centres[label] + 0.5, boundary + 0.5, int(stats[label, cv2.CC_STAT_AREA])))
    return sorted(targets, key=lambda target: -target.area)


def _shares(targets: list[_Target], count: int) -> list[int]:
    """Fixations for each target: at least one, the rest by diameter."""
    if not targets:
        return []
    weights = np.sqrt([target.area for target in targets])
    return [1 + int(share) for share in np.rint(weights / weights.sum() * max(count - len(targets), 0))]


def _scan(count: int, rng: np.random.Generator) -> np.ndarray:
    """[count, 2] fractions of the sides: looking starts at the middle and wanders, but not off the image."""
    spread = np.linspace(0.05, 0.25, count)[:, None]
    return np.clip(0.5 + rng.normal(0.0, 1.0, (count, 2)) * spread, 0.0, 1.0)


def _explore(target: _Target, count: int, reach: float, rng: np.random.Generator) -> np.ndarray:
    """[count, 2] pixels: from the centre towards points of the boundary, ever farther out."""
    turn = (rng.random() + _GOLDEN * np.arange(count)) % 1.0  # all sides alike, however few the fixations
    towards = target.boundary[(turn * len(target.boundary)).astype(int)]
    distance = reach * np.sqrt(np.arange(count) / max(count - 1, 1))[:, None]
    return target.centre + distance * (towards - target.centre)


def _durations(count: int, observer: Observer, rng: np.random.Generator) -> np.ndarray:
    """[count] whole ms, from a gamma distribution: skewed as measured durations are."""
    if observer.duration_sd == 0:
        return np.full(count, max(observer.shortest, observer.duration))
    shape = (observer.duration / observer.duration_sd) ** 2
    return np.rint(np.maximum(rng.gamma(shape, observer.duration / shape, count), observer.shortest))
