"""Convert recordings, file by file, to one fixation table in fractions of the images."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from hashlib import sha256
from pathlib import Path

import numpy as np
from tqdm import tqdm

from fovea.data.fixations import COLUMNS, write_fixations
from fovea.data.images.folder import Folder
from fovea.data.names import Names, file_name
from fovea.importers.recordings.detection import Detection
from fovea.importers.recordings.geometry import Screen
from fovea.importers.recordings.trial import Recording, Rectangle, Trial
from fovea.importers.request import ImportRequest, ImportResult
from fovea.runtime.errors import first_few
from fovea.runtime.files import make_folder

_EXPORT = re.compile(r"(.*/)?exports/(\d+)/(.*)")


def import_recordings(
    request: ImportRequest, read: Callable[[Path], Recording], patterns: Sequence[str]
) -> ImportResult:
    """Write `request.out`, a fixation CSV, from all recordings in `request.source`.

    Fixations off the image are kept with their coordinates, lost ones without: `fovea-prepare` counts and drops both.
    A file that cannot be read does not stop the others. Trials of images that the data set lacks are left out.

    Raises:
        ValueError: there is no such source, no file could be read, or there is no fixation.
    """
    files, warnings = find_recordings(request.source, patterns)
    if request.out.is_file() and not request.out.read_bytes().startswith(",".join(COLUMNS).encode()):
        raise ValueError(f"out: {request.out} exists and is not a fixation table; set another file")
    make_folder(request.out.parent)
    table = _Table(request)
    failures: dict[str, str] = {}
    for path in tqdm(files, desc="fovea-import", unit="file"):
        try:
            table.add(read(path))
        except ValueError as error:
            failures[path.name if path == request.source else str(path.relative_to(request.source))] = str(error)
    if len(failures) == len(files):
        first = next(iter(failures.values()))
        raise ValueError(first if len(files) == 1 else f"none of {len(files)} files could be read; the first: {first}")
    if not table.rows:
        raise ValueError(f"{request.source}: {table.why_empty()}")
    write_fixations(request.out, table.rows)
    line = f"{table} of {len(files) - len(failures)} files in {request.out}"
    return ImportResult([line], warnings + table.warnings(), failures)


def find_recordings(source: Path, patterns: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Return the file itself, or the files of a folder that match the first useful pattern, and warnings.

    Of several exports of one recording (`exports/000`, `exports/001` of Pupil Player) and of equal files only the
    last is returned. A warning names the files that are not read.

    Raises:
        ValueError: there is none.
    """
    if source.is_file():
        return [source], []
    if not source.is_dir():
        raise ValueError(f"source: {source} does not exist; set the exported file, or a folder of them")
    everything = sorted(path for path in source.rglob("*") if path.is_file() and not path.name.startswith("."))
    for pattern in patterns:
        if matching := [path for path in everything if fnmatchcase(path.name.lower(), pattern.lower())]:
            break
    else:
        raise ValueError(f"source: no file in {source} matches {' or '.join(patterns)}; set a file, or format.patterns")
    exports: dict[object, Path] = {}
    for path in matching:
        export = _EXPORT.fullmatch(path.as_posix())
        exports[(export[1], export[3]) if export else path] = path
    used = sorted({sha256(path.read_bytes()).digest(): path for path in exports.values()}.values())
    aside = {
        "repeat another export": [path for path in matching if path not in used],
        "are not read": [path for path in everything if path not in matching],
    }
    return used, [
        f"{len(paths)} files in {source} {what}: {first_few(path.relative_to(source) for path in paths)}"
        for what, paths in aside.items()
        if paths
    ]


@dataclass
class _Table:
    """The growing fixation table and its counts."""

    request: ImportRequest
    rows: list[tuple[object, ...]] = field(default_factory=list)
    outside: int = 0
    lost: int = 0
    stray: int = 0
    images: dict[str, int] = field(default_factory=dict)  # number of fixations by file name
    unknown: dict[str, None] = field(default_factory=dict)
    dataset: Folder | None = None

    def __post_init__(self) -> None:
        self.dataset = self.request.dataset() if self.request.dataset is not None else None
        self.names = Names(self.dataset.ids if self.dataset is not None else None, self.request.source)

    def add(self, recording: Recording) -> None:
        """Add a recording as a whole, or nothing if it raises."""
        screen = self.request.screen
        if recording.screen is not None and screen.width is None and screen.height is None:
            screen = replace(screen, width=recording.screen[0], height=recording.screen[1])
        trials = []
        for trial in recording.trials:
            size, image_id, image = None, self.names(trial.image), file_name(trial.image)
            if image_id is None:
                self.unknown[trial.image] = None
                continue
            if self.dataset is not None:
                size = self.dataset.size(image_id)
                image = image if self.names(image) == image_id else self.dataset.image_path(image_id).name
            trial = replace(trial, image=image)
            trials.append((self._on_image(trial, recording.unit, screen, size), size))
        self.stray += recording.stray
        for trial, size in trials:
            self.rows.extend(self._rows(trial, size))

    def warnings(self) -> list[str]:
        """Return what looks wrong."""
        lines = []
        if self.unknown:
            lines.append(f"{len(self.unknown)} images are not in data.root and left out: {first_few(self.unknown)}")
        if self.stray:
            lines.append(f"{self.stray} of {self.stray + len(self.rows)} fixations belong to no image")
        if 2 * (self.outside + self.lost) > len(self.rows):
            lines.append("most fixations are off the image: check the place of the image and the unit of coordinates")
        return lines

    def why_empty(self) -> str:
        """Return the reason why there is no row."""
        if self.unknown:
            names = first_few(self.unknown)
            return f"none of its images is in data.root: {names}; check data.root, and where format.* finds the name"
        return "no fixation; check the export, or lower the thresholds of detection"

    def __str__(self) -> str:
        counts = f"{len(self.rows)} fixations on {len(self.images)} images"
        return f"{counts} ({self.outside} off the image, {self.lost} without a position)"

    def _on_image(self, trial: Trial, unit: str, screen: Screen, size: tuple[int, int] | None) -> Trial:
        """Return the fixations of a trial in fractions of the image."""
        place = self.request.place.fixed() or trial.rectangle
        if unit == "image_px":
            width, height = _image_size(trial.rectangle or self.request.place.fixed(), size)
            trial, unit = replace(trial, x=trial.x / width, y=trial.y / height), "fraction"
        if unit == "fraction" and trial.duration is not None:
            return trial
        left, top, width, height = rectangle = place or self.request.place.fitted(screen, size)
        if unit == "screen":
            trial = replace(trial, x=trial.x * screen.pixels()[0], y=trial.y * screen.pixels()[1])
        elif unit == "fraction":
            trial = replace(trial, x=left + trial.x * width, y=top + trial.y * height)
        if trial.duration is None:
            detection = self.request.detection
            assert isinstance(detection, Detection), "samples need a detection"
            trial = detection.fixations(trial, screen)
        return replace(trial, x=(trial.x - left) / width, y=(trial.y - top) / height, rectangle=rectangle)

    def _rows(self, trial: Trial, size: tuple[int, int] | None) -> Iterator[tuple[object, ...]]:
        assert trial.duration is not None
        height, width = size or ("", "")
        for place in np.argsort(trial.start, kind="stable"):
            x, y, start = trial.x[place], trial.y[place], trial.start[place]
            tracked = bool(np.isfinite(x) and np.isfinite(y))
            self.lost += not tracked
            self.outside += tracked and not (0 <= x <= 1 and 0 <= y <= 1)
            index = self.images[trial.image] = self.images.get(trial.image, 0) + 1
            cells = (_cell(x, 6), _cell(y, 6), *map(_cell, (trial.duration[place], trial.pupil[place], start)))
            yield trial.image, index, *cells, height, width


def _image_size(rectangle: Rectangle | None, size: tuple[int, int] | None) -> tuple[float, float]:
    """Return the width and height that pixels of the image refer to."""
    if rectangle is not None:
        return rectangle[2], rectangle[3]
    if size is None:
        raise ValueError("format.unit=image_px needs the size of each image: add data.root, or image.left, …")
    return size[1], size[0]


def _cell(value: float, digits: int = 3) -> str:
    """Return a number as text, an empty text for a lost one."""
    return f"{value:.{digits}f}".rstrip("0").rstrip(".") if np.isfinite(value) else ""
