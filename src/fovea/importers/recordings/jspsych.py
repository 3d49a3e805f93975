"""Read data of jsPsych experiments with the WebGazer extension."""

import json
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

    Several lists, e.g. a line for each participant as JATOS writes them, are several observers. The comments in
    `configs/format/jspsych.yaml` describe the arguments.
    """

    def __init__(self, observer: Sequence[str], stimulus: str, target: str, patterns: Sequence[str]) -> None:
        self.observer = observer
        self.stimulus, self.target = compile_pattern("stimulus", stimulus), compile_pattern("target", target, False)
        self.patterns = patterns

    def __call__(self, request: ImportRequest) -> ImportResult:
        return import_recordings(request, self.read, self.patterns)

    def read(self, path: Path) -> Recording:
        """Read one file; refuse one without a trial of both gaze and an image."""
        text = read_text(path)
        try:
            lists = list(_documents(text))
            numbered = [(item, number) for number, content in enumerate(lists, 1) for item in content]
            found = [(*self._values(item), number) for item, number in numbered if item.get("webgazer_data")]
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            reason = " ".join(str(error).split())[:80]
            raise ValueError(f"{path}: not a list of jsPsych trials in JSON ({reason}); export JSON again") from error
        trials = []
        for image, samples, targets, observer, number in found:
            if not image:
                continue
            if np.isinf(samples).any() or np.isnan(samples[:, 0]).any():
                raise ValueError(f"{path}: a sample of {image} is not a finite number; export the data again")
            if len(targets) > 1:
                raise ValueError(f"{path}: a trial has {len(targets)} targets: {first_few(targets)}; set format.target")
            time, x, y = samples[samples[:, 0].argsort(kind="stable")].T
            check_interval(path, time, "export the data again")
            rectangle = next(iter(targets.values()), None)
            observer = observer or (f"{path.stem} {number}" if len(lists) > 1 else "")
            lost = np.full(len(x), np.nan)
            trials.append(Trial(image, time, x, y, lost, None, rectangle, observer=observer))
        if not trials:
            by = f"by format.stimulus={self.stimulus.pattern}"
            raise ValueError(f"{path}: no trial has webgazer_data and an image {by}")
        total = sum(len(samples) for _, samples, *_ in found)
        return Recording(trials, "px", None, total - sum(len(trial.x) for trial in trials), total)

    def _values(self, item: Mapping[str, Any]) -> tuple[str, np.ndarray, dict[str, Rectangle], str]:
        """Return image (perhaps empty), samples [N, 3] of t, x and y, rectangles by target, and observer."""
        image = first_group(self.stimulus.search(unquote(str(item.get("stimulus", "")))))
        samples = np.array([[sample["t"], sample["x"], sample["y"]] for sample in item["webgazer_data"]], float)
        targets = {}
        for name, box in (item.get("webgazer_targets") or {}).items():
            if self.target.search(name):
                left, top, right, bottom = (float(box[side]) for side in ("left", "top", "right", "bottom"))
                if left < right and top < bottom:  # no image that was hidden
                    targets[name] = (left, top, right - left, bottom - top)
        named = [str(item[key]) for key in self.observer if item.get(key) not in (None, "")]
        return image, samples, targets, named[0] if named else ""


def _documents(text: str) -> Iterator[Any]:
    """Yield the JSON values in a text, one after another."""
    while text := text.strip():
        value, end = json.JSONDecoder().raw_decode(text)
        yield value
        text = text[end:]
