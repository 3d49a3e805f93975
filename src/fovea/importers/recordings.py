"""From recordings to one fixation table: file by file, screen to image, samples to fixations."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import numpy as np
from tqdm import tqdm

from fovea.data.fixations import write_fixations
from fovea.data.images.folder import Folder
from fovea.importers.geometry import Screen, to_fractions
from fovea.importers.task import Outcome, Task
from fovea.importers.trials import Recording, Trial
from fovea.runtime.errors import first_few
from fovea.runtime.files import make_folder

Row = tuple[object, ...]


def import_recordings(task: Task, read: Callable[[Path], Recording], patterns: Sequence[str]) -> Outcome:
    """Write `task.out`, a fixation CSV, from every recording in `task.source`.

    Fixations off the image are kept with their coordinates; so are lost ones, without: `fovea-prepare` counts and
    drops both. A file that cannot be read does not stop the others. Where a data set is given, trials on images that
    it does not have are left out.

    Args:
        task: what to do.
        read: reads one file.
        patterns: of the files that count in a folder; the first that any file matches is the one used.

    Raises:
        ValueError: there is no such source, no file could be read, or no fixation is in any.
    """
    files = recordings(task.source, patterns)
    make_folder(task.out.expanduser().parent)
    table = _Table(task)
    failures: dict[str, str] = {}
    for path in tqdm(files, desc="fovea-import", unit="file"):
        try:
            table.add(read(path))
        except ValueError as error:
            failures[path.name if path == task.source else str(path.relative_to(task.source))] = str(error)
    if len(failures) == len(files):
        first = next(iter(failures.values()))
        raise ValueError(first if len(files) == 1 else f"none of {len(files)} files could be read; the first: {first}")
    if not table.rows:
        raise ValueError(f"{task.source}: {table.none()}")
    write_fixations(task.out.expanduser(), table.rows)
    return Outcome([f"{table} of {len(files) - len(failures)} files in {task.out}"], table.warnings(), failures)


def recordings(source: Path, patterns: Sequence[str]) -> list[Path]:
    """The file itself, or the files below a folder that match the first pattern that any matches, sorted.

    Raises:
        ValueError: there is none.
    """
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise ValueError(f"source: no such file or folder {source}; name the export")
    for pattern in patterns:
        if found := sorted(path for path in source.rglob(pattern) if path.is_file()):
            return found
    raise ValueError(
        f"source: no file in {source} is named {' or '.join(patterns)}; name a file or mend format.patterns"
    )


@dataclass
class _Table:
    """The growing fixation table and its counts."""

    task: Task
    rows: list[Row] = field(default_factory=list)
    outside: int = 0
    lost: int = 0
    images: dict[str, int] = field(default_factory=dict)  # fixations so far, by file name
    unknown: dict[str, None] = field(default_factory=dict)
    dataset: Folder | None = None
    ids: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if self.task.dataset is not None:
            self.dataset = self.task.dataset()
            self.ids = frozenset(self.dataset.ids)

    def add(self, recording: Recording) -> None:
        """All of a recording, or nothing where it raises."""
        screen = self.task.screen
        if recording.screen is not None and screen.width is None and screen.height is None:
            screen = replace(screen, width=recording.screen[0], height=recording.screen[1])
        looks = []
        for trial in recording.trials:
            image_id = self._id(trial.image)
            if self.dataset is not None and image_id is None:
                self.unknown[trial.image] = None
                continue
            size = self.dataset.size(image_id) if self.dataset is not None and image_id is not None else None
            looks.append((_on_image(trial, recording.unit, self.task, screen, size), size))
        for trial, size in looks:
            self.rows.extend(self._rows(trial, size))

    def warnings(self) -> list[str]:
        """What looks wrong."""
        lines = []
        if self.unknown:
            lines.append(f"{len(self.unknown)} images are not in data.root and left out: {first_few(self.unknown)}")
        if 2 * (self.outside + self.lost) > len(self.rows):
            lines.append("most fixations are off the image: check the place of the image and the unit of coordinates")
        return lines

    def none(self) -> str:
        """Why there is no row."""
        if self.unknown:
            return f"none of its images is in data.root: {first_few(self.unknown)}; check both, or format.message"
        return "no fixation; check the export, or lower the thresholds of detection"

    def __str__(self) -> str:
        counts = f"{len(self.rows)} fixations on {len(self.images)} images"
        return f"{counts} ({self.outside} off the image, {self.lost} without a position)"

    def _id(self, name: str) -> str | None:
        return next((each for each in (name, PurePosixPath(name).stem) if each in self.ids), None)

    def _rows(self, trial: Trial, size: tuple[int, int] | None) -> Iterator[Row]:
        assert trial.duration is not None
        height, width = size or ("", "")
        for x, y, duration, pupil, start in zip(
            trial.x, trial.y, trial.duration, trial.pupil, trial.start, strict=True
        ):
            known = bool(np.isfinite(x) and np.isfinite(y))
            self.lost += not known
            self.outside += known and not (0 <= x <= 1 and 0 <= y <= 1)
            index = self.images[trial.image] = self.images.get(trial.image, 0) + 1
            where = (_cell(x, 6), _cell(y, 6))
            yield trial.image, index, *where, _cell(duration), _cell(pupil), _cell(start), height, width


def _on_image(trial: Trial, unit: str, task: Task, screen: Screen, size: tuple[int, int] | None) -> Trial:
    """The fixations of a trial in fractions of the image."""
    if unit == "fraction" and trial.duration is not None:
        return trial
    rectangle = task.place.rectangle(screen, size)
    left, top, width, height = (0.0, 0.0, *screen.pixels()) if unit == "screen" else rectangle
    if unit != "px":
        trial = replace(trial, x=left + trial.x * width, y=top + trial.y * height)
    if trial.duration is None:
        trial = task.detection.fixations(trial, screen)
    x, y = to_fractions(trial.x, trial.y, rectangle)
    return replace(trial, x=x, y=y)


def _cell(value: float, digits: int = 3) -> str:
    """A number as it stands in the table; nothing where it was lost."""
    return f"{value:.{digits}f}".rstrip("0").rstrip(".") if np.isfinite(value) else ""
