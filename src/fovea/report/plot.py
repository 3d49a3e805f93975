"""The frame of a chart: from data to pixels, round ticks, axes. Whatever text comes in is escaped."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np


@dataclass(frozen=True)
class Axis:
    """One axis: the data's ends and the pixels that they are drawn at."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        """The pixel of a value."""
        low, high, at = (math.log(v) if self.logarithmic else v for v in (self.low, self.high, value))
        return self.start + (at - low) / (high - low) * (self.end - self.start)


@dataclass(frozen=True)
class Plot:
    """A chart's two axes and its size."""

    x: Axis
    y: Axis
    width: float
    height: float

    def path(self, x: Iterable[float], y: Iterable[float]) -> str:
        """Points of a polyline or polygon."""
        return " ".join(f"{self.x(a):.1f},{self.y(b):.1f}" for a, b in zip(x, y, strict=True))

    def svg(self, parts: Iterable[str], label: str) -> str:
        """The chart as an `<svg>` with a name for those who do not see it."""
        return (
            f'<svg viewBox="0 0 {self.width:g} {self.height:g}" role="img" aria-label="{escape(label)}">'
            f"{''.join(parts)}</svg>"
        )


def span(values: Iterable[float], margin: float = 0.06) -> tuple[float, float]:
    """The ends of an axis that has all finite values with a margin; [0, 1] where there are none."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return 0.0, 1.0
    low, high = min(finite), max(finite)
    room = (high - low) * margin or abs(low) * 0.1 or 0.1
    return low - room, high + room


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round values from `low` to `high`, at most `most`: multiples of 1, 2 or 5 times a power of ten."""
    least = (high - low) / most
    power = 10.0 ** math.floor(math.log10(least))
    step = next(s * power for s in (1.0, 2.0, 5.0, 10.0) if s * power >= least)
    return [float(f"{i * step:.12g}") for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def plot(
    x: tuple[float, float], y: tuple[float, float], width: float = 560, height: float = 330, logarithmic: bool = False
) -> Plot:
    """A chart with room for the figures and names of its axes, left and below."""
    return Plot(
        Axis(*x, start=62, end=width - 12, logarithmic=logarithmic), Axis(*y, start=height - 46, end=12), width, height
    )


def frame(plot: Plot, x_name: str, y_name: str, x_ticks: Sequence[float] | None = None) -> str:
    """Grid lines, their figures, and the names of the axes.

    Args:
        plot: The chart.
        x_name: Below it.
        y_name: Left of it.
        x_ticks: Values to write below; those too close to the one before are left out. None: round ones.
    """
    x, y = plot.x, plot.y
    parts = []
    for value in ticks(y.low, y.high):
        parts.append(f'<line class="grid" x1="{x.start:g}" x2="{x.end:g}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>')
        parts.append(
            f'<text class="tick" x="{x.start - 8:g}" y="{y(value) + 4:.1f}" text-anchor="end">{value:g}</text>'
        )
    last = -np.inf
    for value in ticks(x.low, x.high) if x_ticks is None else x_ticks:
        if x(value) - last < 38:
            continue
        last = x(value)
        parts.append(f'<line class="axis" x1="{last:.1f}" x2="{last:.1f}" y1="{y.start:g}" y2="{y.start + 5:g}"/>')
        parts.append(f'<text class="tick" x="{last:.1f}" y="{y.start + 19:g}" text-anchor="middle">{value:g}</text>')
    parts.append(f'<line class="axis" x1="{x.start:g}" x2="{x.end:g}" y1="{y.start:g}" y2="{y.start:g}"/>')
    middle = (x.start + x.end) / 2, (y.start + y.end) / 2
    below, beside = f'x="{middle[0]:g}" y="{plot.height - 6:g}"', f'transform="translate(14 {middle[1]:g}) rotate(-90)"'
    parts.append(f'<text class="name" {below} text-anchor="middle">{escape(x_name)}</text>')
    parts.append(f'<text class="name" {beside} text-anchor="middle">{escape(y_name)}</text>')
    return "".join(parts)
