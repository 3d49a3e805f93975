"""EyeLink recordings as text, as SR Research's EDF2ASC writes them.

The reader is our own: that of pymovements keeps of a fixation its times and not its position, and needs samples and
events in one file, which EDF2ASC writes apart when asked to.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fovea.importers.recordings import import_recordings
from fovea.importers.task import Outcome, Task
from fovea.importers.trials import Recording, Trial, check_choice, file_name, name_from_file, pattern_of

EYES = ("left", "right", "both")

_MESSAGE = re.compile(r"MSG\s+(\d+\.?\d*)\s+(.*)")
_SCREEN = re.compile(r"(?:DISPLAY|GAZE)_COORDS\s*=?\s*([\d.\-]+)[\s,]+([\d.\-]+)[\s,]+([\d.\-]+)[\s,]+([\d.\-]+)")


class EyelinkAsc:
    """EyeLink ASC files: EFIX events where there are any, else samples.

    A trial begins with the message that names its image (with `name=file`, with the recording) and ends where the
    recording does, with a message that matches `until`, or with the next image. A fixation belongs to the trial in
    which it starts.

    Args:
        name: where an image's name comes from: `message` or `file`.
        message: a regular expression of the message that names an image, which its first group is.
        until: a regular expression of the message that takes an image away.
        file: with `name=file`, see `name_from_file`.
        eye: `left`, `right`, or `both`: the mean of the two, or the one that was recorded.
        patterns: of the files that are read in a folder.

    Raises:
        ValueError: an argument makes no sense.
    """

    def __init__(
        self, name: str, message: str, until: str, file: str, eye: str, patterns: Sequence[str] = ("*.asc",)
    ) -> None:
        check_choice("format.name", name, ("message", "file"))
        check_choice("format.eye", eye, EYES)
        self.name, self.file, self.eye, self.patterns = name, file, eye, patterns
        self.message = pattern_of("format.message", message)
        self.until = pattern_of("format.until", f"({until})")

    def __call__(self, task: Task) -> Outcome:
        """See `import_recordings`."""
        return import_recordings(task, self.read, self.patterns)

    def read(self, path: Path) -> Recording:
        """Read one file.

        Raises:
            ValueError: it cannot be read, no message names an image, or it holds nothing of the eye.
        """
        events = self._events(path)
        if not events.fixations and not events.eyes:
            raise ValueError(f"{path}: neither fixations (EFIX) nor samples; convert the recording with edf2asc")
        if not events.shows:
            mend = "mend that pattern, or set format.name=file"
            raise ValueError(f"{path}: no message names an image by format.message={self.message.pattern}; {mend}")
        recorded = {eye for eye, _ in events.fixations} or set(events.eyes)
        if self.eye != "both" and self.eye not in recorded:
            other = " and ".join(sorted(recorded))
            raise ValueError(f"{path}: nothing of the {self.eye} eye; set format.eye={other}")
        eyes = ("left", "right") if self.eye == "both" else (self.eye,)
        if events.fixations:
            table = _binocular(*(np.array([row for of, row in events.fixations if of == eye]) for eye in eyes))
            columns = table[table[:, 0].argsort(kind="stable")].T
            start, end, x, y, pupil = columns if len(table) else np.empty((5, 0))
            duration: np.ndarray | None = end - start
        else:
            start, x, y, pupil = _samples(path, events.eyes, eyes)
            duration = None
        left, top = events.origin
        trials = [
            Trial(show.image, start[at] - show.onset, x[at] - left, y[at] - top, pupil[at], _part(duration, at))
            for show in events.shows
            if np.any(at := (start >= show.onset) & (start < show.end))
        ]
        return Recording(trials, "px", events.screen)

    def _events(self, path: Path) -> "_Events":
        events = _Events()
        image = name_from_file(path, self.file) if self.name == "file" else ""
        for line in _lines(path):
            if line[:1].isdigit():
                continue  # a sample
            try:
                self._event(events, line, image)
            except (ValueError, IndexError) as error:
                raise ValueError(
                    f"{path}: {line[:60]!r} is cut short or damaged; convert the recording again"
                ) from error
        return events

    def _event(self, events: "_Events", line: str, image: str) -> None:
        """Take in one line that is no sample."""
        kind, *cells = line.split()
        if kind == "EFIX":
            start, end, _, x, y, pupil = map(_number, [*cells[1:6], cells[6] if len(cells) > 6 else "."])
            events.fixations.append(({"L": "left", "R": "right"}[cells[0]], (start, end, x, y, pupil)))
        elif kind == "SAMPLES":
            events.eyes = [eye for eye in ("left", "right") if eye.upper() in cells]
        elif kind == "START" and image:
            events.show(image, float(cells[0]))
        elif kind == "END":
            events.hide(float(cells[0]))
        elif found := _MESSAGE.match(line):
            time, text = float(found[1]), found[2]
            if corners := _SCREEN.search(text):
                left, top, right, bottom = map(float, corners.groups())
                events.origin, events.screen = (left, top), (right - left + 1, bottom - top + 1)
            elif not image and (named := self.message.search(text)):
                if name := file_name(next(filter(None, named.groups()), "")):
                    events.show(name, time)
            elif self.until.search(text):
                events.hide(time)


@dataclass
class _Show:
    """An image on the screen, and the tracker's time when it came and went, in milliseconds."""

    image: str
    onset: float
    end: float = math.inf


@dataclass
class _Events:
    """What a file says beside its samples."""

    shows: list[_Show] = field(default_factory=list)
    fixations: list[tuple[str, tuple[float, ...]]] = field(default_factory=list)  # eye; start, end, x, y, pupil
    eyes: list[str] = field(default_factory=list)  # whose samples there are, in the order of the columns
    origin: tuple[float, float] = (0.0, 0.0)
    screen: tuple[float, float] | None = None

    def show(self, image: str, time: float) -> None:
        """An image comes; named twice in a trial it has come once."""
        if self.shows and self.shows[-1].end == math.inf and self.shows[-1].image == image:
            return
        self.hide(time)
        self.shows.append(_Show(image, time))

    def hide(self, time: float) -> None:
        """The image goes."""
        if self.shows and self.shows[-1].end == math.inf:
            self.shows[-1].end = time


def _lines(path: Path) -> Iterator[str]:
    try:
        # Messages are in whatever encoding the experiment had; names in them are looked up, and are the user's to mend.
        with path.open(encoding="utf-8", errors="replace") as file:
            yield from (line for line in file if line.strip())
    except OSError as error:
        raise ValueError(f"cannot read {path}: {(error.strerror or str(error)).lower()}; check its rights") from error


def _samples(path: Path, recorded: Sequence[str], eyes: Sequence[str]) -> np.ndarray:
    """[4, N]: time, x, y, pupil, the mean over `eyes`. A line is the time, then x, y, pupil of each recorded eye."""
    rows = []
    width = 3 * len(recorded)
    for line in _lines(path):
        if line[:1].isdigit():
            cells = line.split()[: 1 + width]
            rows.append([_number(cell) for cell in [*cells, *["."] * (1 + width - len(cells))]])
    table = np.array(rows).reshape(-1, 1 + width)
    places = [recorded.index(eye) for eye in eyes if eye in recorded]
    values = table[:, 1:].reshape(-1, len(recorded), 3)[:, places]
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        means = np.where(known, values, 0.0).sum(axis=1) / known.sum(axis=1)
    return np.vstack([table[:, 0], means.T])


def _binocular(one: np.ndarray, other: np.ndarray | None = None) -> np.ndarray:
    """[N, 5] rows of start, end, x, y, pupil: each fixation of one eye averaged with that of the other at its time.

    Two are one fixation where they overlap for more than half of the longer; what only one eye did stays as it is.
    """
    if other is None or not len(one) or not len(other):
        tables = [each for each in (one, other) if each is not None and len(each)]
        return tables[0] if tables else np.empty((0, 5))
    rows, alone = [], np.ones(len(other), bool)
    for row in one:
        overlap = np.minimum(row[1], other[:, 1]) - np.maximum(row[0], other[:, 0])
        longer = np.maximum(row[1] - row[0], other[:, 1] - other[:, 0])
        overlap[(2 * overlap <= longer) | ~alone] = -math.inf
        best = int(overlap.argmax())
        if overlap[best] > -math.inf:
            alone[best] = False
            row = (row + other[best]) / 2
        rows.append(row)
    return np.vstack([*rows, other[alone]])


def _part(values: np.ndarray | None, at: np.ndarray) -> np.ndarray | None:
    return None if values is None else values[at]


def _number(cell: str) -> float:
    """A number, or NaN for the dot that EDF2ASC writes where the eye was lost."""
    return math.nan if cell == "." else float(cell)
