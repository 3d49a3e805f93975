"""The charts of the pages, as SVG, and their other pictures."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from fovea.metrics.thresholds import Curve
from fovea.pictures.svg import Axis, dot, frame, line, points, span, svg, tag, text
from fovea.report.comparison import Row, interval_text, mean_text

_MOST_POINTS = 200  # of one line, so that a page of many runs stays small
_MOST_NAME = 60  # characters of a name beside an axis
_COLORS, _DASHES = 8, 3
_APART, _MOST_APART = 7.0, 28.0  # pixels between the bars of two series at one value, and of all series together
_LOGARITHMIC = 20.0  # an axis is logarithmic where its largest value is this many times the least


@dataclass(frozen=True)
class Line:
    """A polyline of a chart."""

    style: int  # see `style`
    css: str  # its class: mean or run
    title: str
    x: np.ndarray  # rising
    y: np.ndarray


@dataclass(frozen=True)
class Dose:
    """Configurations that differ in one number."""

    name: str
    style: int
    x: Sequence[float]  # rising
    rows: Sequence[Row]


def style(place: int) -> str:
    """Return the CSS classes of the color and the dashes of a configuration; 24 differ."""
    return f"s{place % _COLORS} d{place // _COLORS % _DASHES}"


def axes(x: tuple[float, float], y: tuple[float, float], logarithmic: bool = False) -> tuple[Axis, Axis]:
    """Return the axes of a chart of 560 x 330 units, with room for the numbers and names at the left and below."""
    return Axis(*x, start=62, end=548, logarithmic=logarithmic), Axis(*y, start=284, end=12)


def learning_chart(lines: Sequence[Line], name: str) -> str:
    """Draw a quantity against steps, at least one line; long lines are thinned."""
    steps = [step for own in lines for step in (own.x[0], own.x[-1])]
    x, y = axes(span(steps, 0.02), span(value for own in lines for value in own.y.tolist()))
    parts = [frame(x, y, "step", name)]
    for own in lines:
        kept = np.unique(np.linspace(0, len(own.x) - 1, min(len(own.x), _MOST_POINTS)).round().astype(int))
        if len(kept) == 1:
            drawn = dot(own.css, x(own.x[0]), y(own.y[0]), 3, own.title)
        else:
            drawn = tag("polyline", own.css, title=own.title, points=points(x, y, own.x[kept], own.y[kept]))
        parts.append(tag("g", style(own.style), drawn))
    return svg(560, 330, parts, f"{name} against steps")


def dose_chart(series: Sequence[Dose], key: str, score: str, intervals: bool = False) -> str:
    """Draw a score against a key: means joined by a line, with their standard deviation over seeds as a bar.

    With `intervals`, the bars are the 95 % intervals of the means, and bars at one value may overlap. The axis of the
    key is logarithmic where its largest value is 20 times the least.
    """
    values = sorted({value for own in series for value in own.x})
    logarithmic = values[0] > 0 and values[-1] / values[0] >= _LOGARITHMIC
    ends = (values[0] / 1.25, values[-1] * 1.25) if logarithmic else span(values)

    def bar(row: Row) -> tuple[float, float]:
        if intervals:
            return row.mean if row.low is None else row.low, row.mean if row.high is None else row.high
        return row.mean - (row.std or 0), row.mean + (row.std or 0)

    x, y = axes(ends, span(height for own in series for row in own.rows for height in bar(row)), logarithmic)
    parts = [frame(x, y, key, score, values)]
    apart = 0 if intervals else min(_APART, _MOST_APART / len(series))
    for place, own in enumerate(series):
        drawn = [tag("polyline", "mean", points=points(x, y, own.x, [row.mean for row in own.rows]))]
        for value, row in zip(own.x, own.rows, strict=True):
            low, high = bar(row)
            if low < high:
                drawn.append(line("spread", x(value), x(value), y(low), y(high)))
            drawn.append(dot("dot", x(value), y(row.mean), 4.5, f"{row.name}: {mean_text(row)}"))
        beside = f"translate({(place - (len(series) - 1) / 2) * apart:g} 0)"  # bars at one value do not overlap
        parts.append(tag("g", style(own.style), "".join(drawn), transform=beside))
    return svg(560, 330, parts, f"{score} against {key}")


def interval_bar(row: Row, means: Sequence[float], ends: tuple[float, float], place: int) -> str:
    """Draw the mean as a dot, its 95 % interval as a line, and a small mark at the mean of each run.

    `ends` are those of the axis, the same for all rows; `place` is that of the color.
    """
    axis = Axis(*ends, start=5, end=165)
    low, high = (row.mean if end is None else end for end in (row.low, row.high))
    parts = [line("range", axis(low), axis(high), 11, 11), *(line("seed", axis(m), axis(m), 3, 19) for m in means)]
    return svg(170, 22, [*parts, dot("dot", axis(row.mean), 11, 4.5)], interval_text(row.low, row.high), style(place))


def scatter_axes(low: float, high: float) -> tuple[Axis, Axis]:
    """Return the axes of a square chart of one score against itself."""
    return Axis(low, high, start=62, end=488), Axis(low, high, start=454, end=12)


def scatter_chart(x: Axis, y: Axis, scores: Mapping[str, tuple[float, float]], across: str, up: str) -> str:
    """Draw a point for each image: its two scores, by configurations of these names.

    The script of the page finds the points and the names by their class.
    """
    dots = [dot("", x(a), y(b), 3.5, f"{name}: {a:.4f}, {b:.4f}") for name, (a, b) in scores.items()]
    even = tag("polyline", "even", points=points(x, y, (x.low, x.high), (x.low, x.high)))
    across, up = (f"{name[: _MOST_NAME - 1]}…" if len(name) > _MOST_NAME else name for name in (across, up))
    parts = [frame(x, y, across, up), even, tag("g", "points", "".join(dots))]
    return svg(500, 500, parts, "The scores of each image by two configurations")


def curve_chart(curves: Mapping[str, Curve], levels: Sequence[float]) -> str:
    """Draw mean Dice against threshold, a line for each map; mark levels, best level and best pair of the first map."""
    x, y = Axis(0, 1, start=62, end=744), Axis(0, 1, start=312, end=14)
    main = next(iter(curves.values()))
    low, high = np.quantile(main.dice, (0.25, 0.75), axis=0)
    band = points(x, y, [*main.thresholds, *main.thresholds[::-1]], [*high, *low[::-1]])
    parts = [frame(x, y, "threshold", "Dice"), tag("polygon", "band", points=band)]
    for index, curve in reversed(list(enumerate(curves.values()))):
        parts.append(tag("polyline", f"line line{index}", points=points(x, y, curve.thresholds, curve.mean)))

    def at(threshold: float) -> tuple[float, float]:
        return x(threshold), y(float(np.interp(threshold, main.thresholds, main.mean)))

    best, dice, _ = main.best()
    parts += [dot("level", *at(level), 4.5, f"level {level:g}") for level in levels]
    for level in (main.best_pair() or ())[:2]:
        place = "translate({:.1f} {:.1f}) rotate(45)".format(*at(level))
        title, sides = f"best pair: {level:g}", {"x": -4, "y": -4, "width": 8, "height": 8}
        parts.append(tag("rect", "pair", "", title, transform=place, **sides))
    parts.append(dot("best", *at(best), 8.5, f"best {best:g}: {dice:.3f}"))
    return svg(760, 360, parts, f"Mean Dice against threshold; best {dice:.2f} at {best:g}")


def histogram(values: np.ndarray, low: float, high: float, marks: Mapping[str, float]) -> str:
    """Draw 24 bars from `low` to `high`, the median, and marks at published values by short name.

    Values beyond the ends count in the first or the last bar.
    """
    counts, edges = np.histogram(np.clip(values, low, high), bins=24, range=(low, high))
    x, y = Axis(low, high, start=8, end=292), Axis(0, float(counts.max()), start=108, end=26)
    parts = [line("axis", 8, 292, y.start, y.start)]
    for left, right, count in zip(edges, edges[1:], counts.tolist(), strict=False):
        if count:
            sides = {"x": x(left), "y": y(count), "width": x(right) - x(left) - 1, "height": y.start - y(count)}
            parts.append(tag("rect", "bar", "", f"{left:.3g} to {right:.3g}: {count}", **sides))
    for name, place in marks.items():
        parts += [line("mark", x(place), x(place), 16, y.start), text(name, x(place), 11, css="small")]
    median = float(np.median(values))
    middle = x(float(np.clip(median, low, high)))
    parts.append(line("median", middle, middle, y.end - 4, y.start))
    for place, anchor in ((low, "start"), ((low + high) / 2, "middle"), (high, "end")):
        parts.append(text(f"{place:.3g}", x(place), 124, anchor, "small"))
    return svg(300, 132, parts, f"Histogram, median {median:.3g}")


def data_uri(image: Image.Image, side: int) -> str:
    """Return a picture, at most `side` pixels wide and high, as a JPEG in a data URI."""
    small = image.convert("RGB")
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=82)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
