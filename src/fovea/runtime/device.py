"""The device and the threads on which torch computes in this process."""

from multiprocessing import parent_process
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


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


def single_thread_in_worker() -> None:
    """In a worker process, let torch use one thread: those of all workers would compete for the same cores."""
    if parent_process() is not None:
        import torch

        torch.set_num_threads(1)
