"""Convert recordings, file by file, to one fixation table in fractions of the images."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
from tqdm import tqdm

from fovea.data.fixations import COLUMNS
from fovea.data.images.folder import Folder
from fovea.data.names import Names, file_name, plain_id
from fovea.importers.recordings.detection import Detection
from fovea.importers.recordings.geometry import Screen
from fovea.importers.recordings.trial import Recording, Trial
from fovea.importers.request import ImportRequest, ImportResult
from fovea.runtime.errors import first_few, nearest
from fovea.runtime.files import describes, make_folder, sha256, write_csv, write_json

_EXPORT = re.compile(r"/exports/\d+/")


def import_recordings(
    request: ImportRequest, read: Callable[[Path], Recording], patterns: Sequence[str], named_by_file: bool = False
) -> ImportResult:
    """Write `request.out`, a fixation CSV, from all recordings in `request.source`.

    Fixations off the image are kept with their coordinates, lost ones without: `fovea-prepare` counts and drops both.
    A file that cannot be read does not stop the others. Trials of images that the data set lacks are left out.
    `<out>.import.json` beside the CSV lists files, observers and errors of validation; only a CSV that it describes is
    replaced. Of a folder, the files that match one of the patterns are read; if they are `named_by_file`, that is after
    images, observers are folders.

    A ValueError if there is no such source, no file could be read, there is no fixation, or `out` is another file.
    """
    about = request.out.with_suffix(".import.json")
    if request.out.exists() and not describes(about, request.out):
        raise ValueError(f"out: {request.out} exists, and fovea-import did not write it like this; set another out")
    files, warnings = find_recordings(request.source, patterns, request.out)
    make_folder(request.out.parent)
    table = _Table(request)
    failures: dict[str, str] = {}
    recordings: list[dict[str, object]] = []
    notes = defaultdict[str, list[str]](list)  # files by what is unusual in them
    observers = _observers(files, request.source, named_by_file)
    for path in tqdm(files, desc="fovea-import", unit="file"):
        name = path.name if path == request.source else path.relative_to(request.source).as_posix()
        try:
            recording, before = read(path), len(table.rows)
            seen = table.add(recording, observers[path], name)
        except ValueError as error:
            failures[name] = str(error)
            continue
        notes[recording.note].append(name)
        counts = {"fixations": len(table.rows) - before, "validation": [*recording.validation]}
        recordings.append({"file": name, "sha256": sha256(path), "observers": seen, **counts})
    if len(failures) == len(files):
        first = next(iter(failures.values()))
        raise ValueError(first if len(files) == 1 else f"none of {len(files)} files could be read; the first: {first}")
    if not table.rows:
        raise ValueError(f"{request.source}: {table.why_empty()}")
    write_csv(request.out, tuple(dict.fromkeys((*COLUMNS, "observer"))), table.rows, about)
    write_json(about, {"sha256": sha256(request.out), "recordings": recordings})
    warnings += [f"{len(paths)} files {note}: {first_few(paths)}" for note, paths in notes.items() if note]
    names = sorted({observer for _, observer in table.counts})
    lines = [f"{table} of {len(files) - len(failures)} files in {request.out}"]
    lines += [f"{len(names)} observers: {first_few(names)}"] if names != [""] else []
    no_image = [f"{table.stray[what]} of {count} {what} belong to no image" for what, count in table.total.items()]
    (warnings if table.stray.total() else lines).extend(no_image)
    return ImportResult(lines, warnings + table.warnings(), failures)


def find_recordings(source: Path, patterns: Sequence[str], out: Path) -> tuple[list[Path], list[str]]:
    """Return the file itself, or the files of a folder that match the first useful pattern, and warnings.

    Of several exports of one recording (`exports/000`, `exports/001` of Pupil Player) and of equal files only the
    last is returned; ValueError if there is none. A warning names the files that are not read. `out` is no recording.
    """
    if source.is_file():
        return [source], []
    if not source.is_dir():
        near = nearest([source.name], [path.name for path in source.absolute().parent.glob("*")])
        raise ValueError(f"source: {source} does not exist{near}; set the exported file, or a folder of them")
    own = [path.resolve() for path in (out, out.with_suffix(".import.json"))]
    files = sorted(path for path in source.rglob("*") if path.is_file() and not path.name.startswith("."))
    files = [path for path in files if path.resolve() not in own]
    for pattern in patterns:
        if matching := [path for path in files if fnmatchcase(path.name.lower(), pattern.lower())]:
            break
    else:
        wanted, there = " or ".join(patterns), first_few(path.relative_to(source) for path in files) or "no file"
        raise ValueError(f"source: no file in {source} matches {wanted}; it has {there}; set one, or format.patterns")
    exports = {_EXPORT.sub("/exports//", f"/{path.as_posix()}"): path for path in matching}  # the last of a recording
    used = sorted({sha256(path): path for path in exports.values()}.values())
    aside = {
        "repeat another export": [path for path in matching if path not in used],
        "are not read": [path for path in files if path not in matching],
    }
    return used, [
        f"{len(paths)} files in {source} {what}: {first_few(path.relative_to(source) for path in paths)}"
        for what, paths in aside.items()
        if paths
    ]


def _observers(files: Sequence[Path], source: Path, named_by_file: bool) -> dict[Path, str]:
    """Return the observer of each file that does not name a participant: its name, with folders if others share it.

    If files are named after images, the observer is the name of their first folder.
    """
    parts = {path: (path.relative_to(source) if path != source else Path(path.name)).parts for path in files}
    if named_by_file:
        return {path: each[0] if len(each) > 1 else "" for path, each in parts.items()}
    shared = Counter(path.stem for path in files)
    return {path: path.stem if shared[path.stem] == 1 else "/".join(each) for path, each in parts.items()}


@dataclass
class _Table:
    """The growing fixation table and its counts."""

    request: ImportRequest
    rows: list[tuple[object, ...]] = field(default_factory=list)
    outside: int = 0
    lost: int = 0
    repeated: int = 0
    stray: Counter[str] = field(default_factory=Counter)  # fixations and samples without an image
    total: Counter[str] = field(default_factory=Counter)
    counts: dict[tuple[str, str], int] = field(default_factory=dict)  # number of fixations by image and observer
    files: dict[tuple[str, str], dict[str, None]] = field(default_factory=dict)  # names of files by image and observer
    seen: set[object] = field(default_factory=set)  # trials, to find repeated ones
    keys: dict[str, bool] = field(default_factory=dict)  # whether the trial has samples, see `Trial.key`
    unknown: Counter[str] = field(default_factory=Counter)  # fixations or samples by recorded name
    unplaced: set[str] = field(default_factory=set)  # recorded names of images with a trial of unknown place
    scaled: set[str] = field(default_factory=set)  # those of images that fit=contain scales, but not the file

    def __post_init__(self) -> None:
        self.dataset: Folder | None = self.request.dataset() if self.request.dataset is not None else None
        self.names = Names(self.dataset.ids if self.dataset is not None else None, self.request.source)

    def add(self, recording: Recording, label: str, file: str) -> list[str]:
        """Add a recording as a whole, or nothing if it raises; return its observers, `label` where it names none."""
        screen = self.request.screen
        if recording.screen is not None and screen.width is None and screen.height is None:
            screen = replace(screen, width=recording.screen[0], height=recording.screen[1])
        trials, unknown, keys, repeated = [], Counter[str](), dict[str, bool](), 0
        rule, unplaced = self.request.place, set()
        told = recording.unit in ("px", "screen") and any(trial.rectangle for trial in recording.trials)
        for trial in recording.trials:
            image_id = self.names(trial.image)
            if image_id is None:
                unknown[trial.image] += len(trial.x)
                continue
            size = self.dataset.size(image_id) if self.dataset is not None else None
            if told and not (trial.rectangle or trial.anchor or rule.fixed() or rule.fit):
                unplaced.add(trial.image)
                continue
            if trial.anchor and size and not rule.fixed() and rule.fit == "contain":
                self.scaled |= {trial.image} if rule.fitted(screen, size)[2] != size[1] else set()
            keys[trial.key] = trial.duration is None
            if trial.key and self.keys.get(trial.key, keys[trial.key]) != keys[trial.key]:
                repeated += 1
                continue
            observer = trial.observer or self._free(image_id, label, file)
            trials.append((image_id, observer, self._on_image(trial, recording.unit, screen, size), size))
        self.unknown += unknown
        self.unplaced |= unplaced
        self.keys = keys | self.keys
        self.repeated += repeated
        what = "samples" if any(trial.duration is None for trial in recording.trials) else "fixations"
        self.stray[what] += recording.stray
        self.total[what] += recording.total
        for image_id, observer, trial, size in trials:
            values = (trial.start, trial.duration, trial.x, trial.y)
            content = (image_id, observer, *(np.asarray(each, float).tobytes() for each in values))
            if len(trial.x) and content in self.seen:
                self.repeated += 1
                continue
            self.seen.add(content)
            self.files.setdefault((image_id, observer), {})[file] = None
            self.rows.extend(self._rows(trial, image_id, observer, size))
        return sorted({observer for _, observer, _, _ in trials})

    def warnings(self) -> list[str]:
        """Return what looks wrong."""
        lines = []
        if self.unknown:
            names = f"{first_few(self.unknown)}{self.names.nearest(self.unknown)}"
            lines.append(f"{len(self.unknown)} images are not in data.root and left out: {names}")
        if self.unplaced:
            why = f"since the file does not say where they were shown: {first_few(sorted(self.unplaced))}"
            lines.append(f"trials of {len(self.unplaced)} images are left out, {why}")
        if self.scaled:
            wrong = "are placed without a size, as if shown pixel by pixel, but fit=contain scales them"
            few = first_few(sorted(self.scaled))
            lines.append(f"{len(self.scaled)} images {wrong}; set fit=native if that is wrong: {few}")
        if self.repeated:
            lines.append(f"{self.repeated} trials are in two exports; each counts once")
        if several := [key for key, files in self.files.items() if len(files) > 1]:
            image_id, observer = several[0]
            names = f"{image_id} of {observer} in {first_few(self.files[several[0]])}"
            what = "have gaze of one observer in several files, all of it is used"
            lines.append(f"{len(several)} images {what}: {names}")
        if 2 * (self.outside + self.lost) > len(self.rows):
            lines.append("most fixations are off the image: check the place of the image and the unit of coordinates")
        return lines

    def why_empty(self) -> str:
        """Return the reason why there is no row."""
        if self.unknown:
            names = f"{first_few(self.unknown)}{self.names.nearest(self.unknown)}"
            return f"none of its images is in data.root: {names}; check data.root, and where format.* finds the name"
        for what, count in self.stray.items():
            if count and count == self.total[what]:
                fix = "check where and when the file names images"
                return f"none of {count} {what} is within the time of an image; {fix}"
        return "no fixation; check the export, or lower the thresholds of detection"

    def __str__(self) -> str:
        counts = f"{self.outside} off the image, {self.lost} without a position"
        return f"{len(self.rows)} fixations on {len({name for name, _ in self.counts})} images ({counts})"

    def _free(self, image_id: str, label: str, file: str) -> str:
        """Return the label, but none that is the image's, numbered if another file has gaze on the image under it."""
        observer = label = "" if plain_id(label) == image_id else label
        number = 1
        while self.files.get((image_id, observer), {file: None}).keys() != {file}:
            number += 1
            observer = f"{label} ({number})".strip()
        return observer

    def _on_image(self, trial: Trial, unit: str, screen: Screen, size: tuple[int, int] | None) -> Trial:
        """Return the fixations of a trial in fractions of the image."""
        rule = self.request.place
        place = rule.fixed() or trial.rectangle
        if place is None and trial.anchor and size and rule.fit != "contain":
            x, y, share = trial.anchor
            place = (x - share * size[1], y - share * size[0], size[1], size[0])
        if unit == "image_px":
            shown = trial.rectangle or (size and (0, 0, size[1], size[0])) or rule.fixed()
            if shown is None:
                raise ValueError("format.unit=image_px needs the size of each image: add data.root, or image.left, …")
            trial, unit = replace(trial, x=trial.x / shown[2], y=trial.y / shown[3]), "fraction"
        if unit == "fraction" and trial.duration is not None:
            return trial
        left, top, width, height = place or rule.fitted(screen, size)
        if unit == "screen":
            trial = replace(trial, x=trial.x * screen.pixels()[0], y=trial.y * screen.pixels()[1])
        elif unit == "fraction":
            trial = replace(trial, x=left + trial.x * width, y=top + trial.y * height)
        if trial.duration is None:
            detection = self.request.detection
            assert isinstance(detection, Detection), "samples need a detection"
            trial = detection.fixations(trial, screen)
        return replace(trial, x=(trial.x - left) / width, y=(trial.y - top) / height)

    def _rows(
        self, trial: Trial, image_id: str, observer: str, size: tuple[int, int] | None
    ) -> Iterator[tuple[object, ...]]:
        assert trial.duration is not None
        name = file_name(trial.image)
        if self.dataset is not None and self.names(name) != image_id:
            name = self.dataset.image_path(image_id).name
        height, width = size or ("", "")
        for place in np.argsort(trial.start, kind="stable"):
            x, y, start = trial.x[place], trial.y[place], trial.start[place]
            tracked = bool(np.isfinite(x) and np.isfinite(y))
            self.lost += not tracked
            self.outside += tracked and not (0 <= x <= 1 and 0 <= y <= 1)
            index = self.counts[image_id, observer] = self.counts.get((image_id, observer), 0) + 1
            cells = (_cell(x, 6), _cell(y, 6), *map(_cell, (trial.duration[place], trial.pupil[place], start)))
            yield name, index, *cells, height, width, observer


def _cell(value: float, digits: int = 3) -> str:
    """Return a number as text, an empty text for a lost one."""
    return f"{value:.{digits}f}".rstrip("0").rstrip(".") if np.isfinite(value) else ""
