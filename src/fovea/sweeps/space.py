"""The space of a search, read from Hydra's overrides."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution


@dataclass(frozen=True)
class Space:
    """A distribution for each key that is searched, and the overrides that all trials share; both also as written."""

    searched: Mapping[str, BaseDistribution]
    fixed: Sequence[str]
    written: Mapping[str, str]


def space(arguments: Sequence[str]) -> Space:
    """Read overrides: choices, `range`, `interval` and `tag(log, interval)` are searched; the last one of a key counts.

    A ValueError if nothing is searched, or an interval is invalid.
    """
    parsed = OverridesParser.create().parse_overrides(list(arguments))
    last = {override.get_key_element(): override for override in parsed}
    searched = {key: _distribution(key, override) for key, override in last.items() if override.is_sweep_override()}
    if not searched:
        raise ValueError("hydra.sweeper.params: nothing to search; give a key several values or an interval")
    written = {key: str(override.input_line) for key, override in last.items()}
    return Space(searched, [line for key, line in written.items() if key not in searched], written)


def _distribution(key: str, override: Override) -> BaseDistribution:
    value = override.value()
    if isinstance(value, IntervalSweep):
        low, high, log = value.start, value.end, "log" in value.tags
        if low is None or high is None or low > high or (log and low <= 0):
            raise ValueError(f"{key}: interval({low},{high}) must rise, and start above 0 where it is logarithmic")
        whole = isinstance(low, int) and isinstance(high, int)
        return IntDistribution(int(low), int(high), log=log) if whole else FloatDistribution(low, high, log=log)
    choices = list(override.sweep_string_iterator())
    whole = all(choice.lstrip("-").isdigit() for choice in choices)
    if choices and whole and isinstance(value, RangeSweep) and not value.shuffle:
        numbers = sorted(map(int, choices))
        return IntDistribution(numbers[0], numbers[-1], step=numbers[1] - numbers[0] if len(numbers) > 1 else 1)
    return CategoricalDistribution(choices)  # as text: lists and groups too
