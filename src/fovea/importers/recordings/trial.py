"""What every reader returns: trials, i.e. one presentation of one image each."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from fovea.data.names import file_name

Unit = Literal["px", "screen", "image_px", "fraction"]
"""Of coordinates: pixels or fractions of the screen, pixels or fractions of the image. The origin is the top left."""
Rectangle = tuple[float, float, float, float]  # left, top, width and height in pixels of the screen


@dataclass(frozen=True)
class Trial:
    """One presentation of one image: fixations, or samples if `duration` is None. Lost values are NaN."""

    image: str  # name as recorded, perhaps with folders; `fovea.data.names` tells what it means
    start: np.ndarray  # [N] milliseconds since the start of the trial
    x: np.ndarray  # [N] in the unit of the recording, as y
    y: np.ndarray
    pupil: np.ndarray  # [N] in the unit of the tracker
    duration: np.ndarray | None  # [N] milliseconds
    rectangle: Rectangle | None = None  # where the image was on the screen, if the recording tells
    # Instead for an image that was shown pixel by pixel: x and y of its center (0.5) or top left (0), and which.
    anchor: tuple[float, float, float] | None = None
    observer: str = ""  # name of the participant; empty if the recording does not tell
    key: str = ""  # the same for a trial of samples and the fixations that the tracker found in them


@dataclass(frozen=True)
class Recording:
    """The trials of one file."""

    trials: Sequence[Trial]
    unit: Unit
    screen: tuple[float, float] | None = None  # width and height in pixels, if the file tells
    stray: int = 0  # number of fixations (or samples) that belong to no image
    total: int = 0  # number of all
    # Errors of the validations in force, in degrees: `eye`, `average` and perhaps `maximum`, `quality`.
    validation: Sequence[dict[str, object]] = ()
    note: str = ""  # what is unusual in the file, for a warning after its name


def recorded_name(recorded: str) -> str:
    """Return the name of an image as recorded; empty if it names no file. It is looked up, but never opened."""
    return recorded.strip() if file_name(recorded) else ""


def first_group(match: re.Match[str] | None) -> str:
    """Return the recorded name in the first group that matched; empty without one."""
    return recorded_name(next(filter(None, match.groups()), "")) if match else ""


def name_from_file(path: Path, pattern: re.Pattern[str]) -> str:
    """Return the image's name that `<folder>/<file>` of a recording holds; refuse a file without one."""
    if name := first_group(pattern.search(f"{path.absolute().parent.name}/{path.name}")):
        return name
    fix = "change it or format.name"
    raise ValueError(f"{path}: format.file={pattern.pattern} finds no image name in this path; {fix}")


def compile_pattern(argument: str, pattern: str, named: bool = True) -> re.Pattern[str]:
    """Compile a regular expression; refuse an invalid one, and if it finds a name, one without a group."""
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{argument} must be a regular expression, got {pattern!r} ({error})") from error
    if named and not compiled.groups:
        raise ValueError(f"{argument} must have a group, (...) around the image's name, got {pattern!r}")
    return compiled


def mean(values: np.ndarray, axis: int = 0) -> np.ndarray:
    """Return the mean of the finite values, NaN without one."""
    valid = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(valid, values, 0.0).sum(axis=axis) / valid.sum(axis=axis)
