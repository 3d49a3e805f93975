"""Read data of jsPsych experiments with the WebGazer extension."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fovea.importers.recordings.convert import import_recordings
from fovea.importers.recordings.rows import check_interval
from fovea.importers.recordings.table import read_text
from fovea.importers.recordings.trial import Recording, Rectangle, Trial, compile_pattern, first_group
from fovea.importers.request import ImportRequest, ImportResult
from fovea.runtime.errors import first_few


class JsPsych:
    """JSON files with a list of trials, of which some have `webgazer_data` and `webgazer_targets`.

    Args:
        stimulus: A regular expression; its first group in the trial's `stimulus` is the image's name.
        target: A regular expression of the selector of the image, if a trial has several targets.
        patterns: Of the files that are read in a folder.

    Raises:
        ValueError: a regular expression is invalid.
    """

    def __init__(self, stimulus: str, target: str, patterns: Sequence[str]) -> None:
        self.stimulus, self.target = compile_pattern("stimulus", stimulus), compile_pattern("target", target, False)
        self.patterns = patterns

    def __call__(self, request: ImportRequest) -> ImportResult:
        """Import all recordings, see `import_recordings`."""
        return import_recordings(request, self.read, self.patterns)

    def read(self, path: Path) -> Recording:
        """Read one file; refuse one without a trial of both gaze and an image."""
        try:
            content = json.loads(read_text(path))
            trials = [trial for item in content if item.get("webgazer_data") and (trial := self._trial(path, item))]
        except (AttributeError, KeyError, TypeError, json.JSONDecodeError, RecursionError) as error:
            raise ValueError(f"{path}: not a list of jsPsych trials in JSON ({error}); export it again") from error
        if not trials:
            raise ValueError(
                f"{path}: no trial has webgazer_data and an image by format.stimulus={self.stimulus.pattern}"
            )
        return Recording(trials, "px")

    def _trial(self, path: Path, item: Mapping[str, Any]) -> Trial | None:
        image = first_group(self.stimulus.search(str(item.get("stimulus", ""))))
        if not image:
            return None
        samples = np.array([[sample["t"], sample["x"], sample["y"]] for sample in item["webgazer_data"]], float)
        if np.isinf(samples).any() or np.isnan(samples[:, 0]).any():
            raise ValueError(f"{path}: a sample of {image} is not a finite number; export the data again")
        time, x, y = samples[samples[:, 0].argsort(kind="stable")].T
        check_interval(path, time, "export the data again")
        return Trial(image, time, x, y, np.full(len(x), np.nan), None, self._rectangle(path, item))

    def _rectangle(self, path: Path, item: Mapping[str, Any]) -> Rectangle | None:
        """Return the place of the only target, or of the one that `target` matches."""
        boxes = item.get("webgazer_targets") or {}
        targets = {name: box for name, box in boxes.items() if re.search(self.target, name)}
        if not targets:
            return None
        if len(targets) > 1:
            raise ValueError(f"{path}: a trial has {len(targets)} targets: {first_few(targets)}; set format.target")
        box = next(iter(targets.values()))
        return float(box["left"]), float(box["top"]), float(box["width"]), float(box["height"])
