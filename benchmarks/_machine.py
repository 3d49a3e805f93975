"""Start a benchmark, describe the machine, and compose a configuration of fovea."""

import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fovea.runtime.one_line import one_line


def start(main: Callable[[], None]) -> None:
    """Call a benchmark; end in one line, with exit status 1, if a path of its command line is wrong."""
    try:
        main()
    except (OSError, ValueError) as error:
        sys.exit(one_line(error))


def processor() -> str:
    """Return the name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def machine() -> str:
    """Return the number of cores and the name of the processor."""
    return f"{os.cpu_count()} cores, {processor()}"


def composed(command: str, *overrides: str) -> dict[str, Any]:
    """Compose the configuration of a command as plain values."""
    from hydra import compose, initialize_config_dir

    from fovea.runtime.config import config_folder, plain

    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return plain(compose(command, overrides=["run_dir=.", *overrides]), resolve=True)
