"""Processes: the ranks of one training, workers that share a job, and the device that a process computes on."""

import atexit
import fcntl
import os
import signal
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from functools import cache
from multiprocessing import connection, get_context, parent_process, set_start_method
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

# Path of the resolved configuration that the first process hands to the others, which then compose none.
CONFIG = "FOVEA_CONFIG"
# Variables with the number of a process, from 0; the first process has 0 in all that are set.
RANKS = ("RANK", "SLURM_PROCID", "NODE_RANK", "LOCAL_RANK")
_SECONDS_FOR_OTHERS = 10  # in which the other processes of a failed job print their errors before SLURM ends them


def first() -> bool:
    """Return whether this is the first process of its job, the one that writes files and logs."""
    return all(os.environ.get(name, "0") == "0" for name in RANKS)


def restarted() -> bool:
    """Return whether SLURM has started this job before: preempted, out of time, or requeued by hand."""
    return os.environ.get("SLURM_RESTART_COUNT", "0") != "0"


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Let one training at a time write into a run folder; a ValueError if another process is training there.

    The lock ends with its process, also after a kill. A job that SLURM has restarted goes on without it: the lock of a
    node that failed may remain on a shared file system, which knows no lock at all on some clusters.
    """
    path = folder / ".training"
    folder.mkdir(parents=True, exist_ok=True)
    with path.open("a+b", buffering=0) as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # not inherited by loader workers, unlike flock
        except (BlockingIOError, PermissionError) as error:
            if not restarted():
                file.seek(0)
                other = f"process {file.read().decode() or 'of another start'}"
                raise ValueError(f"{folder}: {other} trains there; wait for its end, or set another folder") from error
        except OSError:  # a file system without locks
            pass
        with suppress(OSError):  # on a full disk, what follows says so
            file.truncate(0)
            file.write(f"{os.getpid()} on {socket.gethostname()}".encode())
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def single_thread_in_worker() -> None:
    """In a worker process, let torch use one thread: those of all workers would compete for the same cores."""
    if parent_process() is not None:
        import torch

        torch.set_num_threads(1)


def end_as_failed() -> None:
    """Make SLURM see this job of a sweep as failed: submitit records the error, but then exits with status 0."""
    if os.environ.get("SUBMITIT_EXECUTOR") != "slurm":
        return

    def end() -> None:
        if os.environ.get("SLURM_NTASKS", "1") != "1":
            time.sleep(_SECONDS_FOR_OTHERS)
        os._exit(1)

    atexit.register(end)


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


def join_launcher(number: int, gpus: int | None) -> None:
    """In a process that a launcher started for jobs of a sweep: take one of the GPUs in turn, and end with the command.

    The process keeps the GPU of its first job, since CUDA looks at the variable once. A ValueError if there are fewer.
    """
    if parent_process() is None or _follow_parent.cache_info().currsize:  # not in a launcher, or a later job
        return
    if gpus is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = _gpu(number, gpus)
    set_start_method(None, force=True)  # the system's: joblib's cannot start the workers of a loader
    _follow_parent()


def _gpu(number: int, gpus: int) -> str:
    """Return the name of one of the first `gpus` GPUs that are visible here, in turn by the number of the job."""
    import torch

    if gpus not in range(1, (found := torch.cuda.device_count()) + 1):
        raise ValueError(f"compute.gpus={gpus}, but {found} GPUs are visible here; give that number, or null")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    return visible[number % gpus] if any(visible) else str(number % gpus)


def joined() -> Path | None:
    """Return the configuration that the first process of this job hands over; None in the first process."""
    return Path(os.environ[CONFIG]) if CONFIG in os.environ else None


@contextmanager
def one_job(run: Path) -> Iterator[None]:
    """Hand the configuration of this run folder to all processes that are started inside the block.

    Otherwise they would compose their own, with another run folder, and repeat a whole sweep. After the block the
    process group is closed and the environment restored, for the next job of a sweep.
    """
    before = dict(os.environ)
    os.environ.setdefault(CONFIG, str(run.resolve() / "config.yaml"))
    try:
        yield
    finally:
        import torch.distributed as dist

        if dist.is_available() and dist.is_initialized():
            dist.destroy_process_group()
        os.environ.clear()
        os.environ.update(before)


def pick(name: str) -> "torch.device":
    """Return the device of a name; `auto` is a GPU if there is one."""
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(str(name))
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device={name} is not on this machine; use device=auto or device=cpu") from error
    return device


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
    _follow_parent()
    begin()


@cache
def _follow_parent() -> None:
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End when the parent is killed; otherwise a worker would wait for work forever."""
    parent = parent_process()
    if parent is not None:
        sentinels = [each for each in [parent.sentinel] if each is not None]  # joblib's workers have none
        while os.getppid() == parent.pid and not connection.wait(sentinels, timeout=1):
            pass
        os._exit(1)


def _work(item: Any) -> Any:
    assert _job is not None
    return _job(item)
