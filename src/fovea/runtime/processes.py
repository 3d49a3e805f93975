"""The processes of one training: which is the first, which of them share a run folder, and how they begin and end."""

import atexit
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import parent_process, set_start_method
from pathlib import Path

from fovea.runtime.workers import follow_parent

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


def end_as_failed() -> None:
    """Make SLURM see this job of a sweep as failed: submitit records the error, but then exits with status 0."""
    if os.environ.get("SUBMITIT_EXECUTOR") != "slurm":
        return

    def end() -> None:
        if os.environ.get("SLURM_NTASKS", "1") != "1":
            time.sleep(_SECONDS_FOR_OTHERS)
        os._exit(1)

    atexit.register(end)


def join_launcher(number: int, gpus: int | None) -> None:
    """In a process that a launcher started for jobs of a sweep: take one of the GPUs in turn, and end with the command.

    The process keeps the GPU of its first job, since CUDA looks at the variable once. A ValueError if there are fewer.
    """
    if parent_process() is None or follow_parent.cache_info().currsize:  # not in a launcher, or a later job
        return
    if gpus is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = _gpu(number, gpus)
    set_start_method(None, force=True)  # the system's: joblib's cannot start the workers of a loader
    follow_parent()


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
