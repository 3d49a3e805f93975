"""The space of a search, read from Hydra's overrides."""

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
    """The distribution of override key that is searched, and the overrides that all trials share."""

    searched: Mapping[str, BaseDistribution]
    fixed: Sequence[str]

    def described(self) -> dict[str, str]:
        """Return the distributions as text, for a study to keep and compare."""
        return {key: distribution_to_json(own) for key, own in sorted(self.searched.items())}

    def overrides(self, values: Mapping[str, object]) -> list[str]:
        """Return the overrides of one trial."""
        return [*self.fixed, *(f"{key}={value}" for key, value in values.items())]


def space(arguments: Sequence[str]) -> Space:
    """Read overrides: choices, `range`, `interval` and `tag(log, interval)` are searched; the last one of a key counts.

    Raises:
        ValueError: nothing is searched, or an interval is invalid.
    """
    last = {
        override.get_key_element(): override for override in OverridesParser.create().parse_overrides(list(arguments))
    }
    searched = {key: _distribution(key, override) for key, override in last.items() if override.is_sweep_override()}
    if not searched:
        raise ValueError("hydra.sweeper.params: nothing to search; give a key several values or an interval")
    return Space(searched, [str(override.input_line) for override in last.values() if not override.is_sweep_override()])


def plain(described: Mapping[str, str]) -> str:
    """Return the text of `Space.described` as one short line."""
    parts = []
    for key, text in described.items():
        own = json.loads(text)["attributes"]
        ends = f"{own.get('low')} to {own.get('high')}{' log' if own.get('log') else ''}"
        parts.append(f"{key} {' | '.join(map(str, own['choices'])) if 'choices' in own else ends}")
    return ", ".join(parts)


def _distribution(key: str, override: Override) -> BaseDistribution:
    value = override.value()
    if isinstance(value, IntervalSweep):
        low, high, log = value.start, value.end, "log" in value.tags
        if low is None or high is None or low > high or (log and low <= 0):
            raise ValueError(f"{key}: interval({low},{high}) must rise, and start above 0 where it is logarithmic")
        whole = isinstance(low, int) and isinstance(high, int)
        return IntDistribution(int(low), int(high), log=log) if whole else FloatDistribution(low, high, log=log)
    choices = list(override.sweep_string_iterator())
    if (
        isinstance(value, RangeSweep)
        and not value.shuffle
        and choices
        and all(c.lstrip("-").isdigit() for c in choices)
    ):
        numbers = sorted(map(int, choices))
        return IntDistribution(numbers[0], numbers[-1], step=numbers[1] - numbers[0] if len(numbers) > 1 else 1)
    return CategoricalDistribution(choices)  # as text: lists and groups too
