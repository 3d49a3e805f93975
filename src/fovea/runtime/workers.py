"""Workers: processes that share a job, and end with the process that started them."""

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import cache
from multiprocessing import connection, get_context, parent_process
from threading import Thread
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_parallel(
    job: Callable[[Item], Result], items: Iterable[Item], workers: int, begin: Callable[[], None]
) -> Iterator[tuple[Item, Result]]:
    """Call `job` on every item, and yield items and results as they are done.

    One worker is this process, more are processes of their own; each calls `begin` first. The job is pickled to each
    process once. Keep it below the buffer of a pipe (64 KiB): otherwise a process that dies at its start would be
    waited for forever. A ValueError if a process died.
    """
    if workers == 1:
        begin()
        yield from ((item, job(item)) for item in items)
        return
    # Spawned, not forked: a fork of a process whose libraries have started threads can hang.
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _begin, (job, begin))
    try:
        with _interrupts_on_hold():
            running = {pool.submit(_work, item): item for item in items}
        for future in as_completed(running):
            yield running[future], future.result()
    except BrokenProcessPool as error:
        raise ValueError("a worker process died, probably for lack of memory; set fewer workers") from error
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _interrupts_on_hold() -> Iterator[None]:
    """Hold SIGINT back while processes may start: one interrupted during its imports would print a traceback."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


_job: Callable[[Any], Any] | None = None


def _begin(job: Callable[[Any], Any], begin: Callable[[], None]) -> None:
    global _job
    _job = job
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C reaches every process: end at once, without a traceback
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    follow_parent()
    begin()


def _work(item: Any) -> Any:
    assert _job is not None
    return _job(item)


@cache
def follow_parent() -> None:
    """Let this process end when its parent is killed."""
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Wait for the end of the parent; without it, a worker would wait for work forever."""
    parent = parent_process()
    if parent is not None:
        sentinels = [each for each in [parent.sentinel] if each is not None]  # joblib's workers have none
        while os.getppid() == parent.pid and not connection.wait(sentinels, timeout=1):
            pass
        os._exit(1)


def leave_signals_alone(worker: int) -> None:
    """Let a loader worker work on when SIGUSR2 or SIGTERM comes to all processes of a job: the main one ends it."""
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        Thread(target=_end_by_parent, daemon=True).start()


def _end_by_parent() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)
