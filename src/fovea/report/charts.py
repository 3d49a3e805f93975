"""Small SVG charts for pages that must stand alone: colours and type come from the page's style sheet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fovea.metrics.thresholds import Curve


@dataclass(frozen=True)
class _Axes:
    """From data to pixels; `low` and `high` are the ends of x, y runs from 0 to `top`."""

    left: float
    right: float
    upper: float
    lower: float
    low: float = 0.0
    high: float = 1.0
    top: float = 1.0

    def x(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return self.left + share * (self.right - self.left)

    def y(self, value: float) -> float:
        return self.lower - value / self.top * (self.lower - self.upper)

    def path(self, x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray) -> str:
        return " ".join(f"{self.x(a):.1f},{self.y(b):.1f}" for a, b in zip(x, y, strict=True))


def curve_chart(curves: Mapping[str, Curve], levels: Sequence[float]) -> str:
    """Mean Dice against threshold, one line a map, with the levels in use, the best one and the best pair of the first.

    Args:
        curves: by name, which ends up in the legend; names are the caller's own, not from outside.
        levels: thresholds in use.

    Returns:
        An `<svg>` of 760 x 412 units.
    """
    axes = _Axes(left=52, right=744, upper=14, lower=312)
    main = next(iter(curves.values()))
    low, high = np.quantile(main.dice, (0.25, 0.75), axis=0)
    band = axes.path([*main.thresholds, *main.thresholds[::-1]], [*high, *low[::-1]])
    parts = [_grid(axes), f'<polygon class="band" points="{band}"/>']
    for index, curve in reversed(list(enumerate(curves.values()))):
        parts.append(f'<polyline class="line line{index}" points="{axes.path(curve.thresholds, curve.mean)}"/>')

    def on_curve(threshold: float) -> tuple[float, float]:
        return axes.x(threshold), axes.y(float(np.interp(threshold, main.thresholds, main.mean)))

    best, dice, _ = main.best()
    parts += [_level(*on_curve(level), f"level {level:g}") for level in levels]
    parts += [_diamond(*on_curve(level), f"best pair: {level:g}") for level in main.best_pair()[:2]]
    x, y = on_curve(best)
    parts.append(
        f'<circle class="best" cx="{x:.1f}" cy="{y:.1f}" r="8.5"><title>best {best:g}: {dice:.3f}</title></circle>'
    )
    parts.append(_legend(list(curves)))
    label = f"Mean Dice against threshold; best {dice:.2f} at {best:g}"
    return f'<svg viewBox="0 0 760 412" role="img" aria-label="{label}">{"".join(parts)}</svg>'


def histogram(values: np.ndarray, low: float, high: float, marks: Mapping[str, float]) -> str:
    """How values are distributed: 24 bars, the median, and marks at published figures.

    Args:
        values: [N], N at least 1; those beyond the ends count in the first or the last bar.
        low: left end of the axis.
        high: right end, above `low`.
        marks: places on the axis by short name, the caller's own.

    Returns:
        An `<svg>` of 300 x 132 units.
    """
    counts, edges = np.histogram(np.clip(values, low, high), bins=24, range=(low, high))
    axes = _Axes(left=8, right=292, upper=26, lower=108, low=low, high=high, top=float(counts.max()))
    width = axes.x(edges[1]) - axes.x(edges[0]) - 1
    bars = [
        f'<rect class="bar" x="{axes.x(edge):.1f}" y="{axes.y(count):.1f}" width="{width:.1f}" '
        f'height="{axes.lower - axes.y(count):.1f}"><title>{edge:.3g} to {edge + edges[1] - edges[0]:.3g}: '
        f"{count}</title></rect>"
        for edge, count in zip(edges, counts.tolist(), strict=False)
        if count
    ]
    median = float(np.median(values))
    parts = [*bars, f'<line class="axis" x1="8" x2="292" y1="{axes.lower}" y2="{axes.lower}"/>']
    for name, place in marks.items():
        x = axes.x(place)
        parts.append(f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="16" y2="{axes.lower}"/>')
        parts.append(f'<text class="small" x="{x:.1f}" y="11" text-anchor="middle">{name}</text>')
    x = axes.x(float(np.clip(median, low, high)))
    parts.append(f'<line class="median" x1="{x:.1f}" x2="{x:.1f}" y1="{axes.upper - 4}" y2="{axes.lower}"/>')
    for place, anchor in ((low, "start"), ((low + high) / 2, "middle"), (high, "end")):
        parts.append(f'<text class="small" x="{axes.x(place):.1f}" y="124" text-anchor="{anchor}">{place:.3g}</text>')
    return f'<svg viewBox="0 0 300 132" role="img" aria-label="Histogram, median {median:.3g}">{"".join(parts)}</svg>'


def _grid(axes: _Axes) -> str:
    lines = []
    for step in range(6):
        value = step / 5
        x, y = axes.x(value), axes.y(value)
        lines.append(f'<line class="grid" x1="{axes.left}" x2="{axes.right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        lines.append(f'<text x="{axes.left - 8}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
        lines.append(f'<text x="{x:.1f}" y="{axes.lower + 19}" text-anchor="middle">{value:g}</text>')
    middle = (axes.left + axes.right) / 2
    lines.append(f'<text x="{middle}" y="{axes.lower + 40}" text-anchor="middle">threshold</text>')
    lines.append(f'<text transform="translate(13 {axes.y(0.5):.0f}) rotate(-90)" text-anchor="middle">Dice</text>')
    return "".join(lines)


def _level(x: float, y: float, title: str) -> str:
    return f'<circle class="level" cx="{x:.1f}" cy="{y:.1f}" r="4.5"><title>{title}</title></circle>'


def _diamond(x: float, y: float, title: str) -> str:
    corners = f"{x:.1f},{y - 6:.1f} {x + 6:.1f},{y:.1f} {x:.1f},{y + 6:.1f} {x - 6:.1f},{y:.1f}"
    return f'<polygon class="pair" points="{corners}"><title>{title}</title></polygon>'


def _legend(names: Sequence[str]) -> str:
    """Below the axis, where no curve can be."""
    samples = [f'<line class="line line{i}" x1="0" x2="26" y1="0" y2="0"/>' for i in range(len(names))]
    samples += [
        '<rect class="band" x="0" y="-6" width="26" height="12"/>',
        _level(13, 0, ""),
        '<circle class="best" cx="13" cy="0" r="8.5"/>',
        _diamond(13, 0, ""),
    ]
    texts = [*names, "middle half of the images", "your levels", "best single level", "best pair"]
    return "".join(
        f'<g transform="translate({52 + 240 * (place % 3)} {376 + 24 * (place // 3)})">{sample}'
        f'<text x="36" y="4">{text}</text></g>'
        for place, (sample, text) in enumerate(zip(samples, texts, strict=True))
    )
