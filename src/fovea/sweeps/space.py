"""What a search may choose from, as Hydra's overrides say it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)


@dataclass(frozen=True)
class Space:
    """What is searched, by key, and the overrides that are the same for all trials."""

    searched: Mapping[str, BaseDistribution]
    fixed: Sequence[str]

    def described(self) -> dict[str, str]:
        """What is searched as plain text, for a study to keep and to be compared with."""
        return {key: distribution_to_json(each) for key, each in sorted(self.searched.items())}

    def overrides(self, values: Mapping[str, object]) -> list[str]:
        """The overrides of one trial."""
        return [*self.fixed, *(f"{key}={value}" for key, value in values.items())]


def space(arguments: Sequence[str]) -> Space:
    """Read overrides: choices, `range`, `interval` and `tag(log, interval)` are searched; of one key the last counts.

    Raises:
        ValueError: nothing is searched, or a key in a way that makes no sense.
    """
    last = {each.get_key_element(): each for each in OverridesParser.create().parse_overrides(list(arguments))}
    searched = {key: _distribution(key, each) for key, each in last.items() if each.is_sweep_override()}
    if not searched:
        raise ValueError("hydra.sweeper.params: nothing to search; give a key several values or an interval")
    return Space(searched, [str(each.input_line) for each in last.values() if not each.is_sweep_override()])


def plain(described: Mapping[str, str]) -> str:
    """What `Space.described` gave, as a short line for a person."""
    found = []
    for key, text in described.items():
        attributes = json.loads(text)["attributes"]
        choices = attributes.get("choices")
        ends = f"{attributes.get('low')} to {attributes.get('high')}{' log' if attributes.get('log') else ''}"
        found.append(f"{key} {ends if choices is None else ' | '.join(map(str, choices))}")
    return ", ".join(found)


def _distribution(key: str, override: Override) -> BaseDistribution:
    value = override.value()
    if isinstance(value, IntervalSweep):
        low, high, log = value.start, value.end, "log" in value.tags
        if low is None or high is None or low > high or (log and low <= 0):
            raise ValueError(
                f"{key}: the interval from {low} to {high} is not possible; a logarithmic one starts above 0"
            )
        whole = isinstance(low, int) and isinstance(high, int)
        return IntDistribution(int(low), int(high), log=log) if whole else FloatDistribution(low, high, log=log)
    choices = list(override.sweep_string_iterator())
    if isinstance(value, RangeSweep) and not value.shuffle and all(_whole(each) for each in choices) and choices:
        numbers = sorted(map(int, choices))
        return IntDistribution(numbers[0], numbers[-1], step=numbers[1] - numbers[0] if len(numbers) > 1 else 1)
    return CategoricalDistribution(choices)  # as they are written: lists and groups too


def _whole(text: str) -> bool:
    return text.lstrip("-").isdigit()
