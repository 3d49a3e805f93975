"""One function over many items in several processes that end when they should."""

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from multiprocessing import connection, get_context, parent_process
from threading import Thread
from typing import Any, TypeVar

from fovea.runtime.errors import FoveaError

Item = TypeVar("Item")
Result = TypeVar("Result")
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
"""Threads of the libraries that have their own: one each, since the processes are the parallelism."""
_AHEAD = 4  # items that wait for each process: enough to keep it busy, and memory does not grow with their number


def each(
    job: Callable[[Item], Result], items: Iterable[Item], workers: int, begin: Callable[[], None]
) -> Iterator[tuple[Item, Result]]:
    """Call `job` on every item, and yield item and result as they come.

    Args:
        job: travels to each process once, so it must be picklable; beyond a pipe's buffer (64 KiB) a process that
            dies at its start would be waited for forever.
        items: taken a few at a time.
        workers: number of processes; 1 works in this one.
        begin: called first in each process.

    Raises:
        FoveaError: `workers` is not a number from 1 on, or a process died.
    """
    if not isinstance(workers, int) or isinstance(workers, bool) or workers < 1:
        raise FoveaError(f"workers={workers!r} is not possible; set a number of processes from 1 on")
    if workers == 1:
        begin()
        for item in items:
            yield item, job(item)
        return
    # Spawned, not forked: a fork of a process whose libraries have started threads can hang.
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _begin, (job, begin))
    waiting, running = iter(items), dict[Future[Any], Item]()
    try:
        while True:
            with _start():
                for item in islice(waiting, _AHEAD * workers - len(running)):
                    running[pool.submit(_work, item)] = item
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()
    except BrokenProcessPool as error:
        raise FoveaError("a worker process died, most likely of too little memory; set fewer workers") from error
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _start() -> Iterator[None]:
    """Around whatever may start a process, which takes over the environment and the signals on hold."""
    given = {name: os.environ[name] for name in _THREADS if name in os.environ}
    os.environ.update(dict.fromkeys(_THREADS, "1") | given)
    # On hold: a process interrupted in the middle of its imports would print a traceback.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for name in set(_THREADS) - set(given):
            del os.environ[name]


_job: Callable[[Any], Any] | None = None


def _begin(job: Callable[[Any], Any], begin: Callable[[], None]) -> None:
    global _job
    _job = job
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C reaches every process: end at once and without a traceback
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    Thread(target=_end_with_parent, daemon=True).start()
    begin()


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work forever."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _work(item: Any) -> Any:
    assert _job is not None
    return _job(item)
