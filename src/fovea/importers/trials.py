"""What readers of recordings hand on: trials, one look at one image each."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

import numpy as np

UNITS = ("px", "screen", "fraction")
"""Of coordinates: pixels of the screen, fractions of the screen, fractions of the image; 0 is left and top in all."""

TIME_UNITS = {"s": 1000.0, "ms": 1.0, "us": 0.001}
"""Milliseconds in each unit of time."""


@dataclass(frozen=True)
class Trial:
    """One look at one image: fixations, or samples where `duration` is None.

    Attributes:
        image: name of the image's file, without a folder.
        start: [N] milliseconds since the trial began, in order.
        x: [N] in the unit of the recording, NaN where it was lost.
        y: [N] as `x`.
        pupil: [N] in the tracker's unit, NaN where it was not recorded.
        duration: [N] milliseconds.
    """

    image: str
    start: np.ndarray
    x: np.ndarray
    y: np.ndarray
    pupil: np.ndarray
    duration: np.ndarray | None


@dataclass(frozen=True)
class Recording:
    """The trials of a file, in the order in which they were recorded.

    Attributes:
        trials: those that have a name.
        unit: of their coordinates, one of `UNITS`.
        screen: width and height of the screen in pixels, where the file says so.
    """

    trials: Sequence[Trial]
    unit: str
    screen: tuple[float, float] | None = None


def file_name(recorded: str) -> str:
    """The last part of a recorded path, of any system; only a name, which is looked up and never opened."""
    name = PureWindowsPath(recorded.strip().strip("\"'")).name
    return "" if name in (".", "..") else name.replace("\0", "")


def name_from_file(path: Path, pattern: str) -> str:
    """The name of an image in the name of the file that holds its recording.

    Args:
        path: the file.
        pattern: a regular expression; its first group that matched is the name. It sees `<folder>/<file>`.

    Raises:
        ValueError: it does not match.
    """
    found = pattern_of("format.file", pattern).search(f"{path.absolute().parent.name}/{path.name}")
    name = file_name(next(filter(None, found.groups()), "")) if found else ""
    if not name:
        raise ValueError(f"{path}: its name holds no image's name by format.file={pattern}; mend that, or format.name")
    return name


def pattern_of(key: str, pattern: str) -> re.Pattern[str]:
    """A regular expression with at least one group.

    Raises:
        ValueError: it is none.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{key}: {pattern!r} is no regular expression ({error}); mend it") from error
    if not compiled.groups:
        raise ValueError(f"{key}: {pattern!r} has no group; put brackets around the name of the image")
    return compiled


def check_choice(key: str, value: object, offered: Sequence[str]) -> None:
    """Refuse a value that is not one of those offered."""
    if value not in offered:
        raise ValueError(f"{key}: {value!r} is not offered; choose {' or '.join(offered)}")
