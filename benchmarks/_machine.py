"""What a benchmark ran on, for beside its figures."""

import os
import platform
from pathlib import Path


def processor() -> str:
    """The processor's name, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def machine() -> str:
    """Number of cores and the processor's name."""
    return f"{os.cpu_count()} cores, {processor()}"
