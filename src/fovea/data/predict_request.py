"""What `fovea-predict` is asked for, and the files below its input."""

import json
import logging
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Self

from fovea import __version__
from fovea.data.labels import Labels
from fovea.data.names import check_name
from fovea.runtime.bounds import Window
from fovea.runtime.errors import first_few
from fovea.runtime.files import sha256

TABLE, NETWORKS = "predictions.csv", "networks.json"  # in the output folder
FOLDERS = ("masks", "overlays", "probabilities", "segmentations")  # folders of the output folder
NOT_IN_PATHS = r"[^\w.-]+"  # characters of names of classes and series that are `_` in paths
Axis = Literal["sagittal", "coronal", "axial"]
"""The direction of slices, in the order of the axes of RAS that they are across."""

OPTIONS = ("axis", "dicom_seg", "largest_component", "probabilities", "range", "series")
"""Keys of the command that `PredictRequest` has under the same names."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PredictRequest:
    """What to predict: an image or a folder, into the folder `out`; `configs/predict.yaml` describes the options.

    A ValueError if `range` is not [low, high].
    """

    source: Path
    out: Path
    settings: Mapping[str, Any] = field(default_factory=dict)  # what else all predictions depend on
    names: Sequence[str] = ()  # of the classes without the background; empty: those of the group `data`
    networks: Mapping[str, Sequence[str] | None] = field(default_factory=dict)  # see `prediction_record.Recorded`
    probabilities: bool = False
    dicom_seg: bool = False
    range: Window | None = None
    largest_component: bool | None = None
    axis: Axis | None = None
    series: bool = True

    def __post_init__(self) -> None:
        if self.range is not None and not self.range[0] < self.range[1]:
            raise ValueError(f"range must be [low, high] with low below high, e.g. [0,4095], got {[*self.range]}")

    def made_by(
        self, checkpoints: Sequence[Path], trained_on: Sequence[Sequence[str]], names: Sequence[str] = ()
    ) -> Self:
        """Return the request with the hash of each model, the ids that it was trained on, and the names of classes."""
        models = [*map(sha256, checkpoints)]
        networks = {model: list(ids) or None for model, ids in zip(models, trained_on, strict=True)}
        settings = {**self.settings, "model": " ".join(models), "version": __version__}
        return replace(self, names=names, networks=networks, settings=settings)

    def applied_to(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the group `data` of the training, with the values of the request in place of its own."""
        given = {"range": self.range, "largest_component": self.largest_component}
        return {**data, **{key: value for key, value in given.items() if value is not None}}

    @property
    def key(self) -> str:
        """A text that changes whenever predictions would."""
        return json.dumps(
            [self.settings, self.range and [*self.range], self.axis, self.largest_component], sort_keys=True
        )


def class_names(data: Mapping[str, Any]) -> list[str]:
    """Return the names of the classes without the background, by the group `data` of a model."""
    return Labels(data.get("labels"), data["classes"]).names or ["foreground"]


def outputs(
    name: str, suffix: str, names: Sequence[str], request: PredictRequest, dicom: bool = False
) -> dict[str, str]:
    """Return the files of a prediction, below the output folder: `mask`, `overlay`, `segmentation`, maps by number."""
    files = {"mask": f"masks/{name}{suffix}", "overlay": f"overlays/{name}.png"}
    if request.dicom_seg and dicom:
        files["segmentation"] = f"segmentations/{name}.dcm"
    if request.probabilities:
        files |= {str(label): probability_file(f"{name}{suffix}", names, label) for label in range(1, len(names) + 1)}
    return files


def probability_file(name: str, names: Sequence[str], label: int) -> str:
    """Return the map of the probabilities of a class, counted from 1, below the output folder."""
    folder = f"{label}_{re.sub(NOT_IN_PATHS, '_', names[label - 1])}/" if len(names) > 1 else ""
    return f"probabilities/{folder}{name}"


def files_below(source: Path) -> list[Path]:
    """Return a file itself, or all files below a folder, sorted; hidden ones do not count.

    Linked folders are not opened: they are returned like files, so that they are reported as skipped. A ValueError
    if a folder cannot be read, or a name is not UTF-8.
    """
    if source.is_file():
        return [source]
    found: list[Path] = []
    for folder, folders, files in os.walk(source, onerror=_refuse_folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        linked = [name for name in folders if Path(folder, name).is_symlink()]
        found += [Path(folder, name) for name in [*files, *linked] if not name.startswith(".")]
    for path in found:
        check_name(path)
    return sorted(found)


def below(source: Path, path: Path) -> str:
    """Return the path of a file below a folder, or below the folder of the file `source`."""
    return path.relative_to(source if source.is_dir() else source.parent).as_posix()


def named(source: Path, paths: Iterable[Path]) -> dict[str, Path]:
    """Name files after their path below `source` without the suffix, or with it where two would share a name."""
    whole = {path: below(source, path) for path in paths}
    stems = {path: re.sub(r"(\.nii\.gz|\.[^./]+)$", "", name, flags=re.IGNORECASE) for path, name in whole.items()}
    taken = Counter(name.casefold() for path in whole for name in {whole[path], stems[path]})
    names = {stems[path] if taken[stems[path].casefold()] == 1 else whole[path]: path for path in whole}
    if longer := [name for name, path in names.items() if name != stems[path]]:
        log.warning("%d files differ only in the suffix, so outputs keep it: %s", len(longer), first_few(longer))
    return names


def report_skipped(source: Path, paths: Iterable[Path], wanted: str) -> None:
    """Log the files below `source` that are not read."""
    if names := [below(source, path) for path in paths]:
        suffixes = first_few(sorted({Path(name).suffix or "no suffix" for name in names}))
        log.warning("skipped %d files (%s), not %s: %s", len(names), suffixes, wanted, first_few(names))


def refuse_overlap(source: Path, out: Path) -> None:
    """Refuse an output folder that would write into the input."""
    source, out = source.resolve(), out.resolve()
    inner = [out, *(out / name for name in FOLDERS)]
    if any(source in (path, *path.parents) for path in inner) or any(path in source.parents for path in inner[1:]):
        raise ValueError(f"out: {out} would write into the input {source}; choose a folder outside of it")


def _refuse_folder(error: OSError) -> None:
    raise ValueError(f"input: cannot read {error.filename}: {(error.strerror or str(error)).lower()}") from error
