"""A simulated observer: fixations made from masks, for data sets without gaze."""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import cv2
import numpy as np

from fovea.data.fixations import COLUMNS
from fovea.runtime.bounds import NonNegative, Positive
from fovea.simulate.parts import parts

_SACCADE = 45.0  # mean ms from one fixation to the next
_GOLDEN = (np.sqrt(5.0) - 1.0) / 2.0
_PUPIL = 1200  # a plausible size in the arbitrary units of the eye tracker; nothing here depends on it


@dataclass(frozen=True)
class Observer:
    """How well and how long an observer looks at an image; `configs/observer/eyelink.yaml` describes the arguments.

    At least one fixation searches the image, and one looks at each target.
    """

    columns: ClassVar[tuple[str, ...]] = COLUMNS

    accuracy: NonNegative
    precision: NonNegative
    fixations: NonNegative
    scan: NonNegative
    reach: NonNegative
    duration: Positive
    duration_sd: NonNegative
    shortest: NonNegative

    def label(self, file: str, mask: np.ndarray, rng: np.random.Generator) -> list[tuple[object, ...]]:
        """Return the rows of one image file."""
        trial = simulate(mask, self, rng)
        pupil = np.rint(rng.normal(_PUPIL, 0.08 * _PUPIL, len(trial.x))).astype(int)
        columns = zip(trial.x, trial.y, trial.duration, pupil, trial.start, strict=True)
        return [
            (file, index, f"{x:.5f}", f"{y:.5f}", duration, size, start, *mask.shape)
            for index, (x, y, duration, size, start) in enumerate(columns, start=1)
        ]


class Trial(NamedTuple):
    """The fixations on one image in time order, [N] each.

    `x` and `y` are fractions of the sides; outside [0, 1] the tracker sees the gaze beside the image. `duration`, and
    `start` since the image appeared, are whole milliseconds.
    """

    x: np.ndarray
    y: np.ndarray
    duration: np.ndarray
    start: np.ndarray


def simulate(mask: np.ndarray, observer: Observer, rng: np.random.Generator) -> Trial:
    """Look at an image: first a rough scan, then every target from its center outwards.

    The eyes stay on the image, but a poor tracker may see them outside it. Such fixations are kept, as an eye tracker
    exports them; reading the table counts and drops them. Each connected part of the mask [H, W] is a target; an empty
    mask is only scanned.
    """
    targets = _targets(mask)
    total = max(2, int(rng.poisson(observer.fixations)))
    searching = min(total, 1 + int(rng.poisson(max(observer.scan - 1, 0)))) if targets else total
    spread = np.linspace(0.05, 0.25, searching)[:, None]  # from the middle of the image outwards, never outside it
    points = [np.clip(0.5 + rng.normal(0.0, 1.0, (searching, 2)) * spread, 0.0, 1.0)]
    for target, count in zip(targets, _shares(targets, total - searching), strict=True):
        points.append(_explore(target, count, observer.reach, rng) / mask.shape[::-1])
    path = np.concatenate(points)
    offset = rng.normal(0.0, observer.accuracy, 2)
    path = path + offset + rng.normal(0.0, observer.precision, path.shape)
    duration = _durations(len(path), observer, rng)
    pause = np.rint(rng.gamma(9.0, _SACCADE / 9.0, len(path)))
    start = np.concatenate([[0.0], np.cumsum(duration + pause)[:-1]])
    return Trial(path[:, 0], path[:, 1], duration.astype(int), start.astype(int))


class _Target(NamedTuple):
    """A connected part of a mask: center [2] and boundary [N, 2] as x, y in pixels, and its area."""

    center: np.ndarray
    boundary: np.ndarray
    area: int


def _targets(mask: np.ndarray) -> list[_Target]:
    """Return the connected parts, largest first, as an observer notices them."""
    targets = []
    for part in parts(mask):
        contours, _ = cv2.findContours(part, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        boundary = np.concatenate(contours)[:, 0].astype(float)
        rows, columns = np.nonzero(part)
        targets.append(_Target(np.array([columns.mean(), rows.mean()]) + 0.5, boundary + 0.5, len(rows)))
    return targets


def _shares(targets: list[_Target], count: int) -> list[int]:
    """Return the number of fixations on each target: at least one, the rest by diameter."""
    if not targets:
        return []
    weights = np.sqrt([target.area for target in targets])
    return [1 + int(share) for share in np.rint(weights / weights.sum() * max(count - len(targets), 0))]


def _explore(target: _Target, count: int, reach: float, rng: np.random.Generator) -> np.ndarray:
    """Return [count, 2] pixels: from the center towards points of the boundary, farther and farther out."""
    turn = (rng.random() + _GOLDEN * np.arange(count)) % 1.0  # covers all sides evenly, however few the fixations
    towards = target.boundary[(turn * len(target.boundary)).astype(int)]
    distance = reach * np.sqrt(np.arange(count) / max(count - 1, 1))[:, None]
    return target.center + distance * (towards - target.center)


def _durations(count: int, observer: Observer, rng: np.random.Generator) -> np.ndarray:
    """Return [count] whole ms from a gamma distribution, which is skewed like measured durations."""
    if observer.duration_sd == 0:
        return np.full(count, max(observer.shortest, observer.duration))
    shape = (observer.duration / observer.duration_sd) ** 2
    return np.rint(np.maximum(rng.gamma(shape, observer.duration / shape, count), observer.shortest))
