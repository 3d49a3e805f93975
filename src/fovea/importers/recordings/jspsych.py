"""Read data of jsPsych experiments with the WebGazer extension."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np

from fovea.importers.recordings.convert import import_recordings
from fovea.importers.recordings.rows import check_interval
from fovea.importers.recordings.table import read_text
from fovea.importers.recordings.trial import Recording, Rectangle, Trial, compile_pattern, first_group
from fovea.importers.request import ImportRequest, ImportResult
from fovea.runtime.errors import first_few


class JsPsych:
    """JSON files with lists of trials, of which some have `webgazer_data` and `webgazer_targets`.

    Several lists, e.g. a line for each participant as JATOS writes them, are several observers.

    Args:
        observer: Keys of the participant in a trial; the first that is there is used.
        stimulus: A regular expression; its first group in the trial's `stimulus` is the image's name.
        target: A regular expression of the selector of the image, if a trial has several targets.
        patterns: Of the files that are read in a folder.

    Raises:
        ValueError: a regular expression is invalid.
    """

    def __init__(self, observer: Sequence[str], stimulus: str, target: str, patterns: Sequence[str]) -> None:
        self.observer = observer
        self.stimulus, self.target = compile_pattern("stimulus", stimulus), compile_pattern("target", target, False)
        self.patterns = patterns

    def __call__(self, request: ImportRequest) -> ImportResult:
        """Import all recordings, see `import_recordings`."""
        return import_recordings(request, self.read, self.patterns)

    def read(self, path: Path) -> Recording:
        """Read one file; refuse one without a trial of both gaze and an image."""
        text = read_text(path)
        try:
            lists = list(_documents(text))
            trials = [
                trial
                for number, content in enumerate(lists, 1)
                for item in content
                if item.get("webgazer_data") and (trial := self._trial(path, item, number if len(lists) > 1 else 0))
            ]
        except (AttributeError, KeyError, TypeError, json.JSONDecodeError, RecursionError) as error:
            raise ValueError(f"{path}: not a list of jsPsych trials in JSON ({error}); export it again") from error
        if not trials:
            raise ValueError(
                f"{path}: no trial has webgazer_data and an image by format.stimulus={self.stimulus.pattern}"
            )
        return Recording(trials, "px")

    def _trial(self, path: Path, item: Mapping[str, Any], number: int) -> Trial | None:
        """Return the trial of an item; None without an image. The lists of a file are numbered if there are several."""
        image = first_group(self.stimulus.search(unquote(str(item.get("stimulus", "")))))
        if not image:
            return None
        samples = np.array([[sample["t"], sample["x"], sample["y"]] for sample in item["webgazer_data"]], float)
        if np.isinf(samples).any() or np.isnan(samples[:, 0]).any():
            raise ValueError(f"{path}: a sample of {image} is not a finite number; export the data again")
        time, x, y = samples[samples[:, 0].argsort(kind="stable")].T
        check_interval(path, time, "export the data again")
        found = [str(item[key]) for key in self.observer if item.get(key) not in (None, "")]
        observer = found[0] if found else f"{path.stem} {number}" if number else ""
        return Trial(image, time, x, y, np.full(len(x), np.nan), None, self._rectangle(path, item), observer=observer)

    def _rectangle(self, path: Path, item: Mapping[str, Any]) -> Rectangle | None:
        """Return the place of the only target, or of the one that `target` matches."""
        boxes = item.get("webgazer_targets") or {}
        targets = {name: box for name, box in boxes.items() if re.search(self.target, name)}
        if not targets:
            return None
        if len(targets) > 1:
            raise ValueError(f"{path}: a trial has {len(targets)} targets: {first_few(targets)}; set format.target")
        box = next(iter(targets.values()))
        left, top = float(box["left"]), float(box["top"])  # jsPsych 6 gives right and bottom, but no size
        width, height = (float(box[key]) for key in (("width", "height") if "width" in box else ("right", "bottom")))
        return (left, top, width, height) if "width" in box else (left, top, width - left, height - top)


def _documents(text: str) -> Iterator[Any]:
    """Yield the JSON values in a text, one after another."""
    place, text = 0, text.strip()
    while place < len(text) or not text:
        value, place = json.JSONDecoder().raw_decode(text, place)
        place += len(text) - place - len(text[place:].lstrip())
        yield value
