"""Loops that Numba compiles at the first call and stores on disk."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit

log = logging.getLogger(__name__)


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Return a decorator that compiles a function with options of Numba; the function releases the GIL."""

    def decorate(function: Callable[..., Any]) -> Any:
        try:
            return njit(cache=True, nogil=True, **options)(function)
        except RuntimeError:  # Numba finds no folder for its cache: every process compiles
            return njit(nogil=True, **options)(function)

    return decorate


def announce(function: Any, what: str) -> None:
    """Log that the next call of a compiled function takes its time, if it is not compiled yet."""
    folder, name = function.stats.cache_path, f"{function.__module__.rpartition('.')[2]}.{function.__name__}-*.nbi"
    if not function.signatures and not (folder and any(Path(folder).glob(name))):
        log.info("%s: compiling with Numba, about 10 s (later runs load the result from disk)", what)
