"""Read EyeLink recordings as text, as EDF2ASC of SR Research writes them.

pymovements' reader is not used: it keeps the times of a fixation but not its position.
"""

import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from fovea.data.names import file_name
from fovea.importers.recordings.convert import import_recordings
from fovea.importers.recordings.rows import merge_eyes
from fovea.importers.recordings.table import read_text
from fovea.importers.recordings.trial import (
    Recording,
    Rectangle,
    Trial,
    compile_pattern,
    first_group,
    mean,
    name_from_file,
)
from fovea.importers.request import ImportRequest, ImportResult

_MESSAGE = re.compile(r"MSG\s+(\d+\.?\d*)\s+(.*)")
_SCREEN = re.compile(r"(?:DISPLAY|GAZE)_COORDS\s*=?\s*([\d.\-]+)[\s,]+([\d.\-]+)[\s,]+([\d.\-]+)[\s,]+([\d.\-]+)")
_PLACE = re.compile(r"!V IMGLOAD (TOP_LEFT|CENTER)\s+.+?\.\w+\s+(-?[\d.]+)\s+(-?[\d.]+)(?:\s+([\d.]+)\s+([\d.]+))?\s*$")
_OFFSET = re.compile(r"(-?\d+)\s+\S")  # milliseconds since the event, before the message's text
_FRAME = 20  # less is not used: the screen changes with its next frame
_VALIDATION = re.compile(r"!CAL VALIDATION\s+\S+\s+\S+\s+(LEFT|RIGHT)\s+(\w+)\s+ERROR\s+([\d.]+) avg\.\s+([\d.]+) max")
_EYES = {"L": "left", "R": "right"}


class EyelinkAsc:
    """EyeLink ASC files: EFIX events, or samples if there are none.

    A trial starts with the message that names its image, and ends with a message that matches `until`, with the next
    image or with the recording. If the name comes after the recording (or in `!V TRIAL_VAR`), the trial starts with
    the recording, or with a message that matches `onset`; with `name=message_at_end`, also after the name of another.
    A fixation belongs to the trial in which it starts. A number in front of a message is the time in milliseconds that
    has passed since the event, as in SR Research's Data Viewer.
    The comments in `configs/format/eyelink_asc.yaml` describe the arguments.
    """

    def __init__(
        self,
        name: Literal["message", "message_at_end", "file"],
        message: str,
        onset: str,
        until: str,
        file: str,
        eye: Literal["left", "right", "both"],
        patterns: Sequence[str],
    ) -> None:
        self.name, self.eye, self.patterns = name, eye, patterns
        self.file, self.message = compile_pattern("file", file), compile_pattern("message", message)
        self.onset, self.until = compile_pattern("onset", onset, False), compile_pattern("until", until, False)

    def __call__(self, request: ImportRequest) -> ImportResult:
        return import_recordings(request, self.read, self.patterns, self.name == "file")

    def read(self, path: Path) -> Recording:
        """Read one file; refuse one without an image, or without data of the eye."""
        events = self._parse(path)
        if not events.fixations and not events.eyes:
            raise ValueError(f"{path}: neither fixations (EFIX) nor samples; convert the recording with edf2asc")
        shows = [show for show in events.shows if show.image]
        if not shows:
            wanted = f"format.message={self.message.pattern}"
            raise ValueError(f"{path}: no message matches {wanted}; change it or format.name")
        if events.ambiguous:
            fix = "set format.message to the one that was shown, e.g. 'TRIAL_VAR picture (.+)'"
            raise ValueError(f"{path}: a trial names two images, {' and '.join(events.ambiguous)}; {fix}")
        recorded = {eye for eye, _ in events.fixations} or set(events.eyes)
        if self.eye != "both" and self.eye not in recorded:
            raise ValueError(f"{path}: no data of the {self.eye} eye; set format.eye={' or '.join(sorted(recorded))}")
        eyes = ("left", "right") if self.eye == "both" else (self.eye,)
        if events.fixations:
            tables = [np.array([row for eye, row in events.fixations if eye == each]).reshape(-1, 6) for each in eyes]
            _check_clock(path, tables)
            start, end, duration, x, y, pupil = merge_eyes(*tables).T
        else:
            if "SAMPLES" in events.href:
                raise ValueError(f"{path}: positions are head-referenced (HREF), not gaze; convert with edf2asc -sg")
            table = np.array(events.samples).reshape(-1, 7)
            _check_clock(path, [table])
            columns = [list(_EYES.values()).index(eye) for eye in eyes]
            start, duration, end = table[:, 0], np.empty(0), np.empty(0)
            x, y, pupil = mean(table[:, 1:].reshape(-1, 2, 3)[:, columns], axis=1).T
        left, top = events.origin
        trials, used = [], 0
        for show in shows:
            rows = np.flatnonzero((start >= show.onset) & (start < show.end))
            used += len(rows)
            length = None
            if events.fixations:
                length = np.where(end[rows] > show.end, show.end - start[rows], duration[rows])
            place = show.place and (show.place[0] - left, show.place[1] - top, *show.place[2:])
            anchor = show.anchor and (show.anchor[0] - left, show.anchor[1] - top, show.anchor[2])
            values = start[rows] - show.onset, x[rows] - left, y[rows] - top, pupil[rows]
            key = f"{events.edf} {show.onset}" if events.edf else ""
            trials += [Trial(show.image, *values, length, place, anchor, key=key)] if len(rows) else []
        note = "have no END, so gaze at their end may be missing" if events.running else ""
        if self.name == "message" and trials and trials[-1].image != shows[-1].image and start.min() < shows[0].onset:
            note = "may name each image after its gaze, since the last one has none (format.name=message_at_end)"
        return Recording(trials, "px", events.screen, len(start) - used, len(start), events.validation, note)

    def _parse(self, path: Path) -> "_Events":
        events = _Events(name_from_file(path, self.file) if self.name == "file" else "")
        for line in io.StringIO(read_text(path), newline=None):
            try:
                if line[:1].isdigit():
                    if not events.fixations:  # with which samples are not used
                        events.add_sample([_number(cell) for cell in line.split()[: 1 + 3 * len(events.eyes)]])
                elif line.strip():
                    self._parse_line(events, line)
            except (ValueError, IndexError, KeyError):
                what = f"{path}: {line[:60].strip()!r} is cut short or damaged"
                raise ValueError(f"{what}; convert the recording again") from None
        return events

    def _parse_line(self, events: "_Events", line: str) -> None:
        word, *cells = line.split()
        if line.startswith("** CONVERTED FROM "):
            events.edf = line.partition(" FROM ")[2].partition(" using ")[0].strip()
        elif word == "EFIX":
            numbers = [_number(cell) for cell in cells[1:]]
            gaze = numbers[5:8] if "EVENTS" in events.href else numbers[3:6]
            if len(gaze) < 2 or not numbers[0] <= numbers[1] or not numbers[2] > 0:
                raise ValueError("no position or duration")
            row = (*numbers[:3], *gaze, *[math.nan] * (3 - len(gaze)))
            events.fixations.append((_EYES[cells[0]], row))
        elif word in ("SAMPLES", "EVENTS"):
            if word == "SAMPLES":
                events.eyes = [eye for eye in ("left", "right") if eye.upper() in cells]
            if "HREF" in cells:
                events.href.add(word)
        elif word == "START":
            events.start(float(cells[0]))
        elif word == "END":
            events.end(float(cells[0]))
        elif found := _MESSAGE.match(line):
            self._parse_message(events, float(found[1]), found[2])

    def _parse_message(self, events: "_Events", time: float, text: str) -> None:
        if corners := _SCREEN.search(text):
            left, top, right, bottom = map(float, corners.groups())
            events.origin, events.screen = (left, top), (right - left + 1, bottom - top + 1)
            return
        if found := _VALIDATION.search(text):
            eye, quality, average, maximum = found.groups()
            errors = {"average": float(average), "maximum": float(maximum)}
            events.latest[eye.lower()] = {"eye": eye.lower(), "quality": quality, **errors}
            return
        if offset := _OFFSET.match(text):
            since, text = int(offset[1]), text[offset.end() - 1 :]
            time -= since if abs(since) > _FRAME else 0
        if text.startswith("TRIALID"):
            events.new_trial(time)
        name = "" if events.file_name else first_group(self.message.search(text))
        if name:
            place, anchor = _place(text)
            if "!V IMGLOAD FILL" in text and events.screen:
                place = (*events.origin, *events.screen)
            at_end = self.name == "message_at_end"
            events.name(_Show(name, time, place, anchor), at_onset=not at_end and "TRIAL_VAR" not in text)
            if at_end:
                events.new_trial(time)
        elif self.until.search(text):
            events.hide(time)
        elif self.onset.search(text):
            events.appear(time)


@dataclass
class _Show:
    """An image on the screen, and the time at which it appears and disappears, in milliseconds of the tracker."""

    image: str
    onset: float
    place: Rectangle | None = None
    anchor: tuple[float, float, float] | None = None  # see `Trial`
    end: float = math.inf
    appeared: bool = False


@dataclass
class _Events:
    """The content of a file. Shows without an image are recordings whose image is not (yet) named."""

    file_name: str
    shows: list[_Show] = field(default_factory=list)
    fixations: list[tuple[str, tuple[float, ...]]] = field(default_factory=list)  # start, end, duration, x, y, pupil
    samples: list[tuple[float, ...]] = field(default_factory=list)  # time; x, y, pupil of left and right
    eyes: list[str] = field(default_factory=list)  # with samples in this recording, in the order of the columns
    href: set[str] = field(default_factory=set)  # which of SAMPLES and EVENTS are head-referenced
    origin: tuple[float, float] = (0.0, 0.0)
    screen: tuple[float, float] | None = None
    trial: int | None = None  # index of its first show; None before the first TRIALID
    trial_name: str = ""
    running: bool = False  # between START and END
    recorded: bool = False  # the recording of this trial has ended
    edf: str = ""  # name of the file from which this one was converted
    ambiguous: tuple[str, ...] = ()  # two names of one trial
    latest: dict[str, dict[str, object]] = field(default_factory=dict)  # validation by eye
    validation: list[dict[str, object]] = field(default_factory=list)  # those in force when a recording started

    def new_trial(self, time: float) -> None:
        shown = self._open is not None and self._open.image and not self.trial_name
        self.trial, self.trial_name, self.recorded = len(self.shows), "", False
        if self.running and not shown:  # one recording of several trials, each named at its end
            self.hide(time)
            self.start(time)

    def start(self, time: float) -> None:
        self.running = True
        self.validation += [each for each in self.latest.values() if each not in self.validation]
        if self.file_name or self._open is None:
            self.hide(time)
            self.shows.append(_Show(self.file_name or self.trial_name, time))

    def end(self, time: float) -> None:
        self.hide(time)
        self.running, self.recorded = False, self.trial is not None

    def name(self, shown: _Show, at_onset: bool) -> None:
        """Name an image: one that appears now, or after the recording the one that was shown."""
        if self.recorded or not at_onset:
            trial = self.shows[-1:] if self.trial is None else self.shows[self.trial :]
            if self.trial_name and file_name(self.trial_name) != file_name(shown.image):
                self.ambiguous = (self.trial_name, shown.image)
            elif not any(show.image for show in trial):
                self.trial_name = shown.image
                for show in trial:
                    show.image = shown.image
        elif self._open is not None and self._open.image == shown.image:
            self._open.place, self._open.anchor = shown.place or self._open.place, shown.anchor or self._open.anchor
        else:
            self.hide(shown.onset)
            self.shows.append(shown)

    def appear(self, time: float) -> None:
        if self._open is not None and not self._open.appeared:
            self._open.onset, self._open.appeared = time, True

    def hide(self, time: float) -> None:
        if self._open is not None:
            self._open.end = time

    @property
    def _open(self) -> _Show | None:
        return self.shows[-1] if self.shows and self.shows[-1].end == math.inf else None

    def add_sample(self, numbers: list[float]) -> None:
        """Add a sample: time, then x, y and pupil of each eye that is recorded now."""
        lost = [math.nan] * 3
        time, *values = [*numbers, *lost, *lost]
        cells = {eye: values[3 * place : 3 * place + 3] for place, eye in enumerate(self.eyes)}
        self.samples.append((time, *cells.get("left", lost), *cells.get("right", lost)))


def _place(text: str) -> tuple[Rectangle | None, tuple[float, float, float] | None]:
    """Return the rectangle in an IMGLOAD message with x, y, width and height, or the anchor in one with x and y."""
    if (found := _PLACE.search(text)) is None:
        return None, None
    x, y, share = float(found[2]), float(found[3]), 0.5 if found[1] == "CENTER" else 0.0
    if found[4] is None:
        return None, (x, y, share)
    width, height = float(found[4]), float(found[5])
    return (x - share * width, y - share * height, width, height), None


def _check_clock(path: Path, tables: Sequence[np.ndarray]) -> None:
    """Refuse fixations or samples, in the order of the file, whose time (the first column) goes back."""
    if any((np.diff(table[:, 0]) < 0).any() for table in tables):
        raise ValueError(f"{path}: the time goes back, so the file has several recordings; split it")


def _number(cell: str) -> float:
    """Return a finite number; NaN for the dot that EDF2ASC writes where the eye was lost."""
    number = math.nan if cell == "." else float(cell)
    if math.isinf(number):
        raise ValueError(f"{cell} is not finite")
    return number
