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

Item = TypeVar("Item")
Result = TypeVar("Result")
_AHEAD = 4  # items that wait for each process: enough to keep it busy, and memory does not grow with their number


def each(
    job: Callable[[Item], Result], items: Iterable[Item], workers: int, begin: Callable[[], None]
) -> Iterator[tuple[Item, Result]]:
    """Call `job` on every item, and yield item and result as they come.

    Args:
        job: travels to each process once, so it must be picklable; beyond a pipe's buffer (64 KiB) a process that
            dies at its start would be waited for forever.
        items: taken a few at a time.
        workers: number of processes, this one included.
        begin: called first in each of them.

    Raises:
        ValueError: `workers` is not a number from 1 on, or a process died.
    """
    if not isinstance(workers, int) or isinstance(workers, bool) or workers < 1:
        raise ValueError(f"workers={workers!r} is not possible; set a number of processes from 1 on")
    begin()
    if workers == 1:
        for item in items:
            yield item, job(item)
        return
    # Spawned, not forked: a fork of a process whose libraries have started threads can hang.
    pool = ProcessPoolExecutor(workers - 1, get_context("spawn"), _begin, (job, begin))
    waiting, running = iter(items), dict[Future[Any], Item]()
    try:
        while True:
            with _interrupts_on_hold():
                for item in islice(waiting, _AHEAD * (workers - 1) - len(running)):
                    running[pool.submit(_work, item)] = item
            if not running:
                return
            # This process is one of the workers: it has loaded already what the others still load.
            for item in islice(waiting, 1):
                yield item, job(item)
                break
            else:
                wait(running, return_when=FIRST_COMPLETED)
            for future in [one for one in running if one.done()]:
                yield running.pop(future), future.result()
    except BrokenProcessPool as error:
        raise ValueError("a worker process died, most likely of too little memory; set fewer workers") from error
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _interrupts_on_hold() -> Iterator[None]:
    """Around whatever may start a process: one interrupted in the middle of its imports would print a traceback."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


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
