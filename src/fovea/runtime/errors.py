"""The one error that users see as a line and not as a traceback."""

from collections.abc import Iterable
from itertools import islice


class FoveaError(Exception):
    """Bad input. The message is one line: which file or key, what is wrong, how to mend it."""


def first_few(names: Iterable[object], limit: int = 5) -> str:
    """Join the first `limit` names with commas and count the rest: `a, b, c and 12 more`."""
    rest = iter(names)
    shown = ", ".join(str(name) for name in islice(rest, limit))
    more = sum(1 for _ in rest)
    return f"{shown} and {more} more" if more else shown
