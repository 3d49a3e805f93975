"""Text of error messages."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from itertools import islice

FULL_ERROR = "HYDRA_FULL_ERROR"  # the variable that asks for tracebacks, also of Hydra's own errors


def first_few(names: Iterable[object], limit: int = 5) -> str:
    """Join the first `limit` names and count the rest: `a, b, c and 12 more`; by semicolons if a name has a comma."""
    rest = iter(names)
    first = [str(name) for name in islice(rest, limit)]
    shown = ("; " if any(", " in name for name in first) else ", ").join(first)
    more = sum(1 for _ in rest)
    return f"{shown} and {more} more" if more else shown


def nearest(wanted: Iterable[str], known: Iterable[str], limit: int = 2) -> str:
    """Return `, the nearest are a, b` with the known names that are like the first wanted ones; empty if none is."""
    known = list(known)
    near = [match for name in islice(wanted, limit) for match in get_close_matches(name, known, limit, 0.75)]
    return f", the nearest are {first_few(dict.fromkeys(near))}" if near else ""


def did_you_mean(name: str, known: Sequence[str], above: str = "") -> str:
    """Return `did you mean a.b? ` for the known name that is most like a wrong one, below `above`; empty if none is."""
    return f"did you mean {above}{near[0]}? " if (near := get_close_matches(name, known, 1)) else ""


def first_line(error: BaseException) -> str:
    """Return the first line of an error, which may go on with advice on its own package; its type if it has none."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")


def one_paragraph(text: str) -> str:
    """Join several lines with semicolons."""
    lines = (line.strip().rstrip(".;") for line in text.splitlines())
    return "; ".join(line for line in lines if line)
