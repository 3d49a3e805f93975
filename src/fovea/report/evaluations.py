"""Read what `fovea-evaluate` wrote: one score of each image, with its patient."""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fovea.data.splits import check_split
from fovea.runtime.errors import first_few, nearest
from fovea.runtime.files import read_mapping

_TOLERANCE = 1e-4  # of the size of a lesion, which is written with six digits
_FORMS = "give 'compare=[A,B]' or 'compare={name: [A0,A1], other: [B0,B1]}', the baseline first"


@dataclass(frozen=True)
class Evaluated:
    """One score of an evaluation, by image id."""

    folder: Path
    split: str
    select_on: str  # what it was scored against: mask or pseudo
    scores: dict[str, float]
    patients: dict[str, str]
    sizes: dict[str, float] = field(default_factory=dict)  # the share of the image that the true lesion covers
    unit: str = ""  # of a distance, with the tolerance of a score that has one: `mm within 2.0`
    training_images: int = 0  # how many of the images the checkpoint was trained on
    classes: dict[str, dict[str, float]] = field(default_factory=dict)  # of each modality and class, by image id
    mean_of: tuple[str, ...] = ()  # the classes whose mean the score is, if there are several

    def joined(self, other: "Evaluated") -> "Evaluated":
        """Return the evaluation of the images of two, which share none; a ValueError as of `check_like`."""
        self.check_like(other)
        unions = {name: getattr(self, name) | getattr(other, name) for name in ("scores", "patients", "sizes")}
        classes = {name: own | other.classes.get(name, {}) for name, own in self.classes.items()}
        return replace(self, classes=classes, training_images=self.training_images + other.training_images, **unions)

    def check_like(self, other: "Evaluated") -> None:
        """Raise a ValueError if the scores of two cannot be compared: of another split, target, unit or classes."""
        for key in ("split", "select_on", "unit"):
            mine, theirs = getattr(self, key) or "unknown", getattr(other, key) or "unknown"
            if mine != theirs:
                raise ValueError(f"{other.folder}: {key} is {theirs}, but {mine} in {self.folder}; evaluate again")
        if self.mean_of != other.mean_of:
            mine, theirs = (first_few(each.mean_of) or "one structure" for each in (self, other))
            fix = "compare the score of a single class"
            raise ValueError(f"{other.folder}: scores are of {theirs}, but of {mine} in {self.folder}; {fix}")

    def other_masks(self, other: "Evaluated") -> list[str]:
        """Return the sorted ids of the images whose lesion has another size, where both evaluations tell the size."""
        sizes = {name: (size, other.sizes[name]) for name, size in self.sizes.items() if name in other.sizes}
        return sorted(name for name, (mine, theirs) in sizes.items() if abs(mine - theirs) > _TOLERANCE)

    @property
    def mean(self) -> float:
        """The mean over images."""
        return sum(self.scores.values()) / len(self.scores)


def read_named(compare: Any, split: str, column: str) -> dict[str, list[Evaluated]]:
    """Read the evaluations that `compare` lists, see `read_evaluation`: two folders or more, or one or more by name."""
    if isinstance(compare, Sequence) and not isinstance(compare, str):
        if len(set(map(str, compare))) < len(compare):
            raise ValueError(f"compare={compare} has a folder twice; give each run once")
        compare = {str(folder): [folder] for folder in compare}
    if not isinstance(compare, Mapping) or len(compare) < 2:
        raise ValueError(f"compare={compare} has nothing to compare; {_FORMS}")
    runs = {}
    for name, folders in compare.items():
        listed = [folders] if isinstance(folders, str) else folders
        if not isinstance(listed, Sequence) or not listed:
            raise ValueError(f"compare={compare} has no folders for {name}; {_FORMS}")
        runs[str(name)] = [read_evaluation(Path(str(folder)), split, column) for folder in listed]
    return runs


def read_evaluation(folder: Path, split: str, column: str) -> Evaluated:
    """Read one column of an evaluation: a score of `per_image.csv`.

    The folder has `per_image.csv` and `summary.json`, or is a run folder with them in `evaluate/<split>/`. A ValueError
    if a file is missing or damaged, the column is missing, an id is repeated, or a score is not a number.
    """
    check_split(split)
    own = (folder / "per_image.csv").is_file() or (folder / "summary.json").is_file()
    place = folder if own else folder / "evaluate" / split
    for name in ("per_image.csv", "summary.json"):
        if not (place / name).is_file():
            raise ValueError(f"{folder}: no {name} here or in evaluate/{split}; run fovea-evaluate split={split}")
    summary = place / "summary.json"
    content = read_mapping(summary)
    facts = {"training_images": 0, **content}
    for key, kind in {"split": str, "select_on": str, "training_images": int}.items():
        if not isinstance(facts.get(key), kind):
            raise ValueError(f"{summary}: {key} is missing or damaged; evaluate again")
    distances = ("hd95", "surface_dice")  # those of a class, cup_hd95, have the unit of all
    whole = next((name for name in distances if column.endswith(f"_{name}")), column)
    score = content[whole] if isinstance(content.get(whole), dict) else {}
    within = score.get("tolerance")
    tolerance = f" within {float(within)}" if isinstance(within, int | float) else ""  # 2 is 2.0
    unit = f"{score.get('unit', '')}{tolerance}"
    evaluated = Evaluated(place, facts["split"], facts["select_on"], {}, {}, {}, unit, facts["training_images"])
    classes, groups = (facts[key] if isinstance(facts.get(key), dict) else {} for key in ("classes", "groups"))
    _read_table(place / "per_image.csv", column, list(classes), evaluated)
    of = {each: max((n for n in groups if each.endswith(f"_{n}")), key=len, default="") for each in evaluated.scores}
    apart = {name: {each: evaluated.scores[each] for each in of if of[each] == name} for name in groups}
    shown = {name: own for name, own in apart.items() if 0 < len(own) < len(of)}  # one modality is the whole
    mean_of = sorted(classes) if len(classes) > 1 and not column.startswith(tuple(f"{n}_" for n in classes)) else ()
    return replace(evaluated, classes=shown | evaluated.classes, mean_of=tuple(mean_of))


def _read_table(path: Path, column: str, classes: Sequence[str], into: Evaluated) -> None:
    """Fill in scores, those of each class, patients and the sizes of lesions; the last if there is such a column."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            columns = list(reader.fieldnames or [])
            others = [name for name in columns if name not in ("id", "patient")]
            if lacking := [name for name in ("id", "patient") if name not in columns]:
                raise ValueError(f"{path}: no column {lacking[0]}; evaluate again")
            if column not in others:
                near = nearest([column], others) or f"; choose a score of {first_few(others, 12)}"
                raise ValueError(f"{path}: no column {column}{near}")
            parts = [(column, into.scores), *([("size", into.sizes)] if "size" in columns else [])]
            for name in classes:
                if f"{name}_{column}" in columns:
                    parts.append((f"{name}_{column}", into.classes.setdefault(name, {})))
            for row in reader:
                image_id, where = row["id"], f"{path}, line {reader.line_num}"
                if image_id in into.scores:
                    raise ValueError(f"{where}: {image_id} is repeated; evaluate again")
                into.patients[image_id] = row["patient"]
                for name, values in parts:
                    values[image_id] = _number(row[name], f"{where}: {name}")
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: not a table ({error}); evaluate again") from error
    if not into.scores:
        raise ValueError(f"{path}: has no images; evaluate again")


def _number(text: str | None, where: str) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{where} is {text!r}, not a finite number; evaluate again or choose another score")
    return value
