"""Time and memory of work on a GPU."""

from collections.abc import Callable

import torch


def timed(run: Callable[[], object], repeats: int) -> tuple[float, int]:
    """Return the minimum seconds of a call, by CUDA events, and the peak of memory beyond what is held before it."""
    for _ in range(2):  # compiles, and chooses algorithms
        run()
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    times = []
    for _ in range(repeats):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) / 1e3)
    return min(times), torch.cuda.max_memory_allocated() - before


def copy_rate() -> float:
    """Return the bytes per second, read and written, of copying 1 GiB."""
    source = torch.zeros(2**28, device="cuda")
    target = torch.empty_like(source)
    return 2 * source.nbytes / timed(lambda: target.copy_(source), 10)[0]
