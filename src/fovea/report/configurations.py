"""Group runs that differ only in their seed, and name each group by what sets it apart."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fovea.report.runs import FINISHED, Run
from fovea.runtime.config import FREE, is_default, is_under

SAME = (
    *(key for key in FREE if key not in ("trainer.max_epochs", "trainer.max_steps", "trainer.max_time")),
    "data.duplicates",
    "data.gaze",  # these two repeat labels, refine and store
    "data.maps",
    "data.root",  # the ids and the sizes of lesions tell whether the images are the same
    "data.seed",
    "seed",
    "trainer.accelerator",
)
"""Keys in which the runs of one configuration may differ, including all keys below them."""

PARTS = ("labels.name", "refine.name")  # the choices of these groups, also where they are the default
ABSENT = "-"  # the value of a key that a configuration does not have


@dataclass(frozen=True)
class Configuration:
    """Finished runs with the same configuration."""

    name: str
    runs: list[Run]
    values: dict[str, Any]  # of all keys in which configurations differ, or ABSENT
    unfinished: list[Run]  # with this configuration


def configurations(runs: Sequence[Run], ignore: Sequence[str] = ()) -> list[Configuration]:
    """Group finished runs by their configuration, and name the groups by the keys that tell them apart.

    A name has no more keys than needed; `Configuration.values` has all that differ. Keys of the command line come
    first in a name, and a group that was chosen there (`supervision=band`) is named by the choice, else by its class.

    The groups are in the order of the keys in their names: numbers rising, other values by first appearance. `ignore`
    are more keys, or groups of keys, in which the runs of one configuration may differ.
    """
    groups: dict[str, list[Run]] = {}
    unfinished: dict[str, list[Run]] = {}
    for run in runs:
        (groups if run.status == FINISHED else unfinished).setdefault(_text(relevant(run, ignore)), []).append(run)
    grouped = list(groups.values())
    settings = [relevant(group[0], ignore) for group in grouped]
    every = dict.fromkeys(key for own in settings for key in own)
    told = [key for key in every if not key.endswith("_partial_")]  # follows from its _target_
    varied = [key for key in told if len({_text(own.get(key, ABSENT)) for own in settings}) > 1]
    values = [{key: own.get(key, ABSENT) for key in varied} for own in settings]
    _name_by_choice(values, grouped)
    chosen = _choices(grouped, (*SAME, *ignore))
    naming = [choices | own for choices, own in zip(chosen, values, strict=True)]
    keys = dict.fromkeys(key for own in naming for key in own)
    tiers: list[set[str]] = [
        {key for choices in chosen for key in choices},
        {*PARTS},
        {key for group in grouped for run in group for key in run.overrides},
        {key for key in keys if key.endswith("_target_")},
        {key for key in keys if all(number(own[key]) is not None for own in naming)},
    ]
    order = sorted(keys, key=lambda key: next((rank for rank, tier in enumerate(tiers) if key in tier), len(tiers)))
    names = _names(naming, order)
    repeated = {name for name in names if names.count(name) > 1}  # classes of one name in different modules
    names = [f"{name} ({place})" if name in repeated else name for place, name in enumerate(names, start=1)]
    others = [unfinished.get(text, []) for text in groups]
    positions = [_positions([own[key] for own in naming]) for key in order]
    places = sorted(range(len(grouped)), key=lambda place: [own[place] for own in positions])
    return [Configuration(names[place], grouped[place], values[place], others[place]) for place in places]


def completed(runs: Sequence[Run], ignore: Sequence[str] = ()) -> list[Run]:
    """Give runs of other code the keys that they lack, where another run has them at fovea's default.

    Only where all else that matters is equal and the command lines chose the same: a key that one of them removed, or
    that its own choice of a group never had, may have another value there.
    """
    every = [(run, _origin(run, ignore), relevant(run, ignore)) for run in runs]
    distinct = {_text([origin, own]): (origin, own) for _, origin, own in every}
    filled = []
    for run, (code, chosen), own in every:
        others = (theirs for (other, chose), theirs in distinct.values() if other != code and chose == chosen)
        fuller = next((theirs for theirs in others if _adds_defaults(theirs, own)), own)
        filled.append(replace(run, config={**fuller, **run.config}))
    return filled


def _origin(run: Run, ignore: Sequence[str]) -> tuple[Any, dict[str, str]]:
    """Return the code of a run, and what its command line chose or removed: no keys of its configuration."""
    git, versions = ({**(run.provenance.get(key) or {})} for key in ("git", "versions"))
    code = [git.get("commit"), git.get("diff_sha256"), versions.get("fovea")]
    given = run.overrides.items()
    return code, {key: text for key, text in given if key not in run.config and not is_under(key, (*SAME, *ignore))}


def _adds_defaults(theirs: Mapping[str, Any], own: Mapping[str, Any]) -> bool:
    """Return whether the first configuration is the second and further keys, at their default."""
    if not own or not own.keys() < theirs.keys() or _text(own) != _text({key: theirs[key] for key in own}):
        return False
    return all(is_default(key, theirs[key]) for key in theirs.keys() - own.keys())


def relevant(run: Run, ignore: Sequence[str] = ()) -> dict[str, Any]:
    """Return the flat configuration without `SAME` and `ignore`; paths in the run folder or data root are relative."""
    places = [(run.config.get(key), f"{{{key}}}") for key in ("run_dir", "data.root")]
    return {key: _relative(value, places) for key, value in run.config.items() if not is_under(key, (*SAME, *ignore))}


def _relative(value: Any, places: Sequence[tuple[Any, str]]) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)  # 1.0 is 1
    if isinstance(value, list):
        return [_relative(item, places) for item in value]
    for place, name in places:
        if isinstance(value, str) and isinstance(place, str) and place and value.startswith(f"{place}/"):
            return f"{name}{value[len(place) :]}"
    return value


def _choices(groups: Sequence[Sequence[Run]], ignored: Sequence[str]) -> list[dict[str, str]]:
    """Return, for each configuration, its choices in the config groups that all command lines choose from."""
    shared = [dict(set.intersection(*(set(run.overrides.items()) for run in runs))) for runs in groups]
    config = {key for runs in groups for run in runs for key in run.config}
    keys = [
        key
        for key in (groups[0][0].overrides if groups else ())
        if all(key in own for own in shared)
        and len({own[key] for own in shared}) > 1
        and key not in config
        and not is_under(key, ignored)
        and any(is_under(other, [key]) for other in config)
    ]
    return [{key: own[key] for key in keys} for own in shared]


def _name_by_choice(values: Sequence[dict[str, Any]], groups: Sequence[Sequence[Run]]) -> None:
    """Replace each class that all its configurations chose on the command line by the choice, e.g. `labeled_only`."""
    for key in [key for key in (values[0] if values else ()) if key.endswith("._target_")]:
        group = key.removesuffix("._target_")
        pairs = [(own, {run.overrides.get(group) for run in runs}) for own, runs in zip(values, groups, strict=True)]
        unnamed = [ABSENT, *(own[key] for own, names in pairs if None in names or len(names) > 1)]
        for own, names in pairs:
            if own[key] not in unnamed:
                [own[key]] = names


def _positions(values: Sequence[Any]) -> list[float]:
    """Return what to sort by: the numbers, or the place of each value among all."""
    numbers = [number(value) for value in values]
    texts = [_text(value) for value in values]
    return [
        float(texts.index(text)) if None in numbers else own or 0.0 for own, text in zip(numbers, texts, strict=True)
    ]


def _names(naming: Sequence[Mapping[str, Any]], order: Sequence[str]) -> list[str]:
    """Return names from the keys in order: each key is added to equal names that it makes different.

    Numbers have four digits if that is enough. A key that a configuration does not have is left out of its name, unless
    the name is then empty.
    """
    parts: list[dict[str, str]] = [{} for _ in naming]
    for key in order:
        every = [own[key] for own in naming]
        brief = [float(f"{value:.4g}") if isinstance(value, float) else value for value in every]
        every = brief if len({*map(_text, brief)}) == len({*map(_text, every)}) else every
        values: dict[str, set[str]] = {}
        for name, value in zip(parts, every, strict=True):
            values.setdefault(_text(name), set()).add(_text(value))
        for place, (name, value) in enumerate(zip(list(parts), every, strict=True)):
            if len(values[_text(name)]) > 1:
                parts[place] = name | {key: shown(key, value)}
    short = short_keys({key for own in parts for key in own})
    parts = [{key: value for key, value in own.items() if value != ABSENT} or own for own in parts]
    return [", ".join(f"{short[key]}={value}" for key, value in own.items()) or "all runs" for own in parts]


def swept(grouped: Sequence[Configuration]) -> dict[str, list[list[int]]]:
    """Return the numeric keys that were swept, each with its series: places of configurations by rising value.

    A series has at least two values of the key and is equal in all else that was chosen. Keys that change with the
    swept one and are on no command line are its consequences (a store is named after its sigma). Of two keys that
    change together only the first is returned.
    """
    keys = list(grouped[0].values) if grouped else []
    texts = {key: [repr(own.values[key]) for own in grouped] for key in keys}
    parts = {key: [values.index(value) for value in values] for key, values in texts.items()}
    overrides = [own.runs[0].overrides for own in grouped]
    varied = {key for own in overrides for key in own if len({other.get(key) for other in overrides}) > 1}
    series: dict[str, list[list[int]]] = {}
    for key in sorted(keys, key=lambda key: not is_under(key, varied)):
        values = [number(own.values[key]) for own in grouped]
        fixed = []
        for other in keys:
            follows = len(set(zip(parts[key], parts[other], strict=True))) == len(set(parts[key]))
            if other != key and not (follows and varied and not is_under(other, varied)):
                fixed.append(parts[other])
        lines: dict[tuple[int, ...], list[int]] = {}
        for place, value in enumerate(values):
            if value is not None:
                lines.setdefault(tuple(part[place] for part in fixed), []).append(place)
        rising = [sorted(places, key=lambda place: values[place] or 0.0) for places in lines.values()]
        drawn = [places for places in rising if values[places[0]] != values[places[-1]]]
        if drawn and not any(parts[key] == parts[other] for other in series):
            series[key] = drawn
    return series


def shared_name(names: Sequence[str]) -> str:
    """Return what names of configurations have in common."""
    first, *others = [name.split(", ") for name in names]
    return ", ".join(part for part in first if all(part in other for other in others)) or "the others"


def short_keys(keys: set[str]) -> dict[str, str]:
    """Shorten keys as far as they stay distinct and clear: `lr`, but `loss.weight` and `supervision.weight`."""
    plain = {key: key.removesuffix(".name" if key in PARTS else "._target_") for key in keys}
    last = {key: name.removesuffix(".path").rpartition(".")[2] for key, name in plain.items()}
    short = {key: f"{name}.path" if key.endswith(".path") else name for key, name in last.items()}
    return {key: plain[key] if [*short.values()].count(name) > 1 else name for key, name in short.items()}


def shown(key: str, value: Any) -> str:
    """Return a value as it is written on a command line; of a `_target_` the last name."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # 1.0 is 1
    if isinstance(value, list):
        return f"[{','.join(shown(key, item) for item in value)}]"
    return str(value).rpartition(".")[2] if key.endswith("_target_") else str(value)


def number(value: Any) -> float | None:
    """Return a setting, or the only item of a list, as a number; None for anything else."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _text(value: Any) -> str:
    """Return text that is equal where the value is."""
    return json.dumps(value, sort_keys=True, default=str)
