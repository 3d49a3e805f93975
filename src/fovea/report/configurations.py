"""Runs that differ in nothing but their seed, as one configuration, named by what sets it apart from the others."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fovea.report.runs import Run, words
from fovea.runtime.config import FREE, is_under

SAME = (
    *(key for key in FREE if key not in ("trainer.max_epochs", "trainer.max_steps", "trainer.max_time")),
    "data.duplicates",
    "data.root",  # the ids and the true sizes say whether the images are the same
    "data.seed",
    "data.gaze",  # these repeat labels.*, refine.* and store
    "data.maps",
    "labels.folder",
    "refine.folder",
    "seed",
    "trainer.accelerator",
)
"""Keys in which the runs of one configuration may differ, those below them included."""

ABSENT = "-"  # the value of a key that a configuration does not have


@dataclass(frozen=True)
class Configuration:
    """Runs that were configured alike."""

    name: str
    runs: list[Run]
    values: dict[str, Any]  # of the keys in which configurations differ; a key that it does not have is ABSENT


def configurations(runs: Sequence[Run], ignore: Sequence[str] = ()) -> list[Configuration]:
    """Group runs by what they were configured with, and name the groups by the keys that tell them apart.

    A name has no more keys than it takes; `Configuration.values` has all that differ. Keys that were given on the
    command line go first into it, and a group that was chosen there (`supervision=band`) goes by the choice.

    Args:
        runs: With a configuration each.
        ignore: Further keys, or groups of keys, in which the runs of one configuration may differ.

    Returns:
        In the order of the keys in their names: numbers rising, other values as they come first.
    """
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(_text(what_counts(run, ignore)), []).append(run)
    listed = list(groups.values())
    settings = [what_counts(group[0], ignore) for group in listed]
    keys = [key for key in dict.fromkeys(key for each in settings for key in each) if len(_values(settings, key)) > 1]
    given = {key for run in runs for key in overrides(run)}
    chosen = _choices(listed)
    values = [{key: each.get(key, ABSENT) for key in keys} for each in settings]
    naming = [{**choices, **each} for choices, each in zip(chosen, values, strict=True)]
    order = sorted(naming[0], key=lambda key: _rank(key, given, chosen[0], values)) if naming else []
    names = _names(naming, order)
    twice = {name for name in names if names.count(name) > 1}  # classes of one name in different modules
    names = [f"{name} ({place})" if name in twice else name for place, name in enumerate(names, start=1)]
    places = sorted(range(len(listed)), key=lambda place: [_place(naming, place, key) for key in order])
    return [Configuration(names[place], listed[place], values[place]) for place in places]


def what_counts(run: Run, ignore: Sequence[str] = ()) -> dict[str, Any]:
    """The flat configuration of a run without `SAME` and `ignore`; paths below its folder or its data are relative."""
    places = [(run.config.get(key), f"{{{key}}}") for key in ("run_dir", "data.root")]
    return {key: _relative(value, places) for key, value in run.config.items() if not is_under(key, (*SAME, *ignore))}


def _relative(value: Any, places: Sequence[tuple[Any, str]]) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)  # 1.0 is 1
    for place, name in places:
        if isinstance(value, str) and isinstance(place, str) and place and value.startswith(f"{place}/"):
            return f"{name}{value[len(place) :]}"
    return value


def overrides(run: Run) -> dict[str, str]:
    """What was given on the command line of a run, by key."""
    return words(run.provenance)


def _choices(groups: Sequence[Sequence[Run]]) -> list[dict[str, str]]:
    """The choice of each configuration in the groups of keys that all runs chose from and that tell some apart."""
    found = []
    for runs in groups:
        given = [overrides(run) for run in runs]
        found.append({key: value for key, value in given[0].items() if all(g.get(key) == value for g in given)})
    keys = [
        key
        for key in (found[0] if found else {})
        if all(key in choices for choices in found)
        and len({choices[key] for choices in found}) > 1
        and all(
            key not in run.config and any(is_under(each, [key]) for each in run.config) for g in groups for run in g
        )
    ]
    return [{key: choices[key] for key in keys} for choices in found]


def _rank(key: str, given: set[str], chosen: Mapping[str, str], values: Sequence[Mapping[str, Any]]) -> int:
    """Which keys are tried first in a name; in the order of the configuration among equals."""
    if key in chosen:
        return 0
    if key in given:
        return 1
    if key.endswith("_target_"):
        return 2
    return 3 if all(number(each[key]) is not None for each in values) else 4


def _place(naming: Sequence[Mapping[str, Any]], place: int, key: str) -> float:
    """What to sort by: the number, or which value of the key it is."""
    if all(number(each[key]) is not None for each in naming):
        return number(naming[place][key]) or 0.0
    values = [_text(each[key]) for each in naming]
    return values.index(values[place])


def _names(naming: Sequence[Mapping[str, Any]], order: Sequence[str]) -> list[str]:
    """Names by the keys in order, each where it tells apart what was alike so far."""
    parts: list[list[tuple[str, Any]]] = [[] for _ in naming]
    blocks = [list(range(len(naming)))]
    for key in order:
        split: list[list[int]] = []
        for block in blocks:
            by_value: dict[str, list[int]] = {}
            for index in block:
                by_value.setdefault(_text(naming[index][key]), []).append(index)
            if len(by_value) > 1:
                for index in block:
                    parts[index].append((key, naming[index][key]))
            split += by_value.values()
        blocks = split
    short = short_keys({key for each in parts for key, _ in each})
    return [", ".join(f"{short[key]}={shown(key, value)}" for key, value in each) or "all runs" for each in parts]


def short_keys(keys: set[str]) -> dict[str, str]:
    """Keys without what is not needed to tell them apart: `lr`, but `loss.weight` and `supervision.weight`."""
    plain = {key: key.removesuffix("._target_") for key in keys}
    last = [key.rpartition(".")[2] for key in plain.values()]
    return {
        key: name if last.count(name.rpartition(".")[2]) > 1 else name.rpartition(".")[2] for key, name in plain.items()
    }


def shown(key: str, value: Any) -> str:
    """A value as it is written on a command line; of a `_target_` the last name."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{','.join(shown(key, each) for each in value)}]"
    return str(value).rpartition(".")[2] if key.endswith("_target_") else str(value)


def number(value: Any) -> float | None:
    """A setting as a number to plot by, that of a list of one too; None where it is none."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _values(settings: Sequence[Mapping[str, Any]], key: str) -> set[str]:
    return {_text(each.get(key, ABSENT)) for each in settings}


def _text(value: Any) -> str:
    """A value as text that is equal where the value is."""
    return json.dumps(value, sort_keys=True, default=str)
