"""Units of the time column of a table, and which one rows at usual distances have."""

from pathlib import Path
from typing import Literal

import numpy as np

TIME_UNITS = {"ms": 1.0, "s": 1000.0, "us": 1e-3, "ns": 1e-6}  # milliseconds per unit
TimeUnit = Literal["s", "ms", "us", "ns"]


def guess_unit(path: Path, times: np.ndarray, interval: tuple[float, float]) -> str:
    """Return the unit in which a typical step between rows is inside `interval` (milliseconds); refuse others."""
    steps = np.diff(times)
    if not (steps > 0).any():
        return "ms"
    step = float(np.quantile(steps[steps > 0], 0.25, method="lower"))
    unit = next((unit for unit, scale in TIME_UNITS.items() if interval[0] <= step * scale <= interval[1]), None)
    if unit is None:
        raise ValueError(f"{path}: the header has no unit of time, and rows are {step:g} apart; set format.time_unit")
    return unit
