"""Which numeric keys were swept, and which configurations make a line against each."""

from collections.abc import Sequence

from fovea.report.configurations import Configuration, number, overrides
from fovea.runtime.config import is_under


def swept(grouped: Sequence[Configuration]) -> dict[str, list[list[int]]]:
    """The numeric keys that were swept, each with its series: places of configurations in the list, by rising value.

    A series has two values of the key at least and is alike in all else that was chosen. Keys that change with the
    swept one, and that no command line has, are its consequences (a store is named after its sigma); of two keys that
    change together the first stands for both.
    """
    keys = list(grouped[0].values) if grouped else []
    parts = {key: _partition(grouped, key) for key in keys}
    varied = _varied(grouped)
    found: dict[str, list[list[int]]] = {}
    for key in sorted(keys, key=lambda each: not is_under(each, varied)):
        if any(parts[key] == parts[other] for other in found):
            continue
        fixed = [k for k in keys if k != key and not _is_consequence(k, parts[k], parts[key], varied)]
        if lines := _lines(grouped, key, [parts[other] for other in fixed]):
            found[key] = lines
    return found


def _lines(grouped: Sequence[Configuration], key: str, fixed: Sequence[Sequence[int]]) -> list[list[int]]:
    values = [number(each.values[key]) for each in grouped]
    series: dict[tuple[int, ...], list[int]] = {}
    for place, value in enumerate(values):
        if value is not None:
            series.setdefault(tuple(part[place] for part in fixed), []).append(place)
    rising = [sorted(places, key=lambda place: values[place] or 0.0) for places in series.values()]
    return [places for places in rising if values[places[0]] != values[places[-1]]]


def _varied(grouped: Sequence[Configuration]) -> set[str]:
    """The keys and groups that have different values on the command lines."""
    given = [overrides(each.runs[0]) for each in grouped]
    return {key for each in given for key in each if len({other.get(key) for other in given}) > 1}


def _is_consequence(key: str, part: Sequence[int], of: Sequence[int], varied: set[str]) -> bool:
    follows = len(set(zip(of, part, strict=True))) == len(set(of))
    return follows and bool(varied) and not is_under(key, varied)


def _partition(grouped: Sequence[Configuration], key: str) -> list[int]:
    """For each configuration the place of the first with the same value."""
    values = [repr(each.values[key]) for each in grouped]
    return [values.index(value) for value in values]
