"""SVG charts for pages that need no network. The page's style sheet gives colors and type; all text is escaped."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from fovea.metrics.thresholds import Curve
from fovea.report.comparison import Row, interval_text

_MOST_POINTS = 200  # of one line, so that a page of many runs stays small
_MOST_NAME = 60  # characters of a name beside an axis
_COLORS, _DASHES = 8, 3
_APART, _MOST_APART = 7.0, 28.0  # pixels between the bars of two series at one value, and of all series together
_LOGARITHMIC = 20.0  # an axis is logarithmic where its largest value is this many times the least


@dataclass(frozen=True)
class Axis:
    """From values (`low` to `high`) to pixels (`start` to `end`)."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        """Return the pixel of a value."""
        low, high, at = (math.log(v) if self.logarithmic else v for v in (self.low, self.high, value))
        return self.start + (at - low) / (high - low) * (self.end - self.start)


@dataclass(frozen=True)
class Line:
    """A polyline of a chart."""

    style: int  # see `style`
    kind: str  # its CSS class: mean or run
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


def tag(name: str, kind: str = "", inside: str = "", title: str = "", **attributes: float | str) -> str:
    """Return an SVG element of the CSS class `kind`. The title and attributes are escaped, `inside` is not."""
    values = {**({"class": kind} if kind else {}), **attributes}
    texts = {key: f"{value:.1f}" if isinstance(value, float) else str(value) for key, value in values.items()}
    shown = "".join(f' {key.replace("_", "-")}="{escape(text)}"' for key, text in texts.items())
    return f"<{name}{shown}>{inside}{f'<title>{escape(title)}</title>' if title else ''}</{name}>"


def line(kind: str, x1: float, x2: float, y1: float, y2: float) -> str:
    """Return a straight line."""
    return tag("line", kind, x1=float(x1), x2=float(x2), y1=float(y1), y2=float(y2))


def text(content: object, x: float, y: float, anchor: str = "middle", kind: str = "") -> str:
    """Return a line of text."""
    return tag("text", kind, escape(str(content)), x=float(x), y=float(y), text_anchor=anchor)


def svg(width: float, height: float, parts: Iterable[str], label: str, kind: str = "") -> str:
    """Return a chart, with a label for screen readers."""
    return tag("svg", kind, "".join(parts), viewBox=f"0 0 {width:g} {height:g}", role="img", aria_label=label)


def points(x: Axis, y: Axis, across: Iterable[float], up: Iterable[float]) -> str:
    """Return the points of a polyline or polygon."""
    return " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in zip(across, up, strict=True))


def span(values: Iterable[float], margin: float = 0.06) -> tuple[float, float]:
    """Return the ends of an axis that has all finite values, with a margin; [0, 1] without any."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return 0.0, 1.0
    low, high = min(finite), max(finite)
    room = (high - low) * margin or abs(low) * 0.1 or 0.1
    return low - room, high + room


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return at most `most` round values from `low` to `high`: multiples of 1, 2 or 5 times a power of ten."""
    least = (high - low) / most
    power = 10.0 ** math.floor(math.log10(least))
    step = next(s * power for s in (1.0, 2.0, 5.0, 10.0) if s * power >= least)
    return [float(f"{i * step:.12g}") for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def axes(x: tuple[float, float], y: tuple[float, float], logarithmic: bool = False) -> tuple[Axis, Axis]:
    """Return the axes of a chart of 560 x 330 units, with room for the numbers and names at the left and below."""
    return Axis(*x, start=62, end=548, logarithmic=logarithmic), Axis(*y, start=284, end=12)


def frame(x: Axis, y: Axis, x_name: str, y_name: str, x_ticks: Sequence[float] | None = None) -> str:
    """Draw grid lines, their numbers, and the names of the axes.

    Args:
        x: The axis below.
        y: The axis at the left.
        x_name: Its name.
        y_name: Its name.
        x_ticks: Values to write below, but for those too close to the one before; None: round values.
    """
    parts = []
    for value in ticks(y.low, y.high):
        parts.append(line("grid", x.start, x.end, y(value), y(value)))
        parts.append(text(f"{value:g}", x.start - 8, y(value) + 4, "end", "tick"))
    last = -math.inf
    for value in ticks(x.low, x.high) if x_ticks is None else x_ticks:
        if x(value) - last >= 38:
            last = x(value)
            parts.append(line("axis", last, last, y.start, y.start + 5))
            parts.append(text(f"{value:g}", last, y.start + 19, kind="tick"))
    parts.append(line("axis", x.start, x.end, y.start, y.start))
    parts.append(text(x_name, (x.start + x.end) / 2, y.start + 40, kind="name"))
    place = f"translate(14 {(y.start + y.end) / 2:g}) rotate(-90)"
    parts.append(tag("text", "name", escape(y_name), transform=place, text_anchor="middle"))
    return "".join(parts)


def learning_chart(lines: Sequence[Line], name: str) -> str:
    """Draw a quantity against steps; of at least one line, and long lines are thinned."""
    x, y = axes(span([step for each in lines for step in (each.x[0], each.x[-1])], 0.02),
                span(value for each in lines for value in each.y.tolist()))  # fmt: skip
    parts = [frame(x, y, "step", name)]
    for each in lines:
        kept = np.unique(np.linspace(0, len(each.x) - 1, min(len(each.x), _MOST_POINTS)).round().astype(int))
        if len(kept) == 1:
            drawn = tag("circle", each.kind, title=each.title, cx=x(each.x[0]), cy=y(each.y[0]), r=3)
        else:
            drawn = tag("polyline", each.kind, title=each.title, points=points(x, y, each.x[kept], each.y[kept]))
        parts.append(tag("g", style(each.style), drawn))
    return svg(560, 330, parts, f"{name} against steps")


def dose_chart(series: Sequence[Dose], key: str, score: str) -> str:
    """Draw a score against a key: means joined by a line, with their standard deviation over seeds as a bar.

    The axis of the key is logarithmic where its largest value is 20 times the least.
    """
    values = sorted({value for each in series for value in each.x})
    logarithmic = values[0] > 0 and values[-1] / values[0] >= _LOGARITHMIC
    ends = (values[0] / 1.25, values[-1] * 1.25) if logarithmic else span(values)
    heights = [row.mean + sign * (row.std or 0) for each in series for row in each.rows for sign in (-1, 1)]
    x, y = axes(ends, span(heights), logarithmic)
    parts = [frame(x, y, key, score, values)]
    apart = min(_APART, _MOST_APART / len(series))
    for place, each in enumerate(series):
        drawn = [tag("polyline", "mean", points=points(x, y, each.x, [row.mean for row in each.rows]))]
        for value, row in zip(each.x, each.rows, strict=True):
            if row.std:
                drawn.append(line("spread", x(value), x(value), y(row.mean - row.std), y(row.mean + row.std)))
            title = f"{row.name}: {row.mean:.4f}" + ("" if row.std is None else f" ± {row.std:.4f}")
            drawn.append(tag("circle", "dot", title=title, cx=x(value), cy=y(row.mean), r=4.5))
        beside = f"translate({(place - (len(series) - 1) / 2) * apart:g} 0)"  # bars at one value do not overlap
        parts.append(tag("g", style(each.style), "".join(drawn), transform=beside))
    return svg(560, 330, parts, f"{score} against {key}")


def interval_bar(row: Row, means: Sequence[float], ends: tuple[float, float], place: int) -> str:
    """Draw the mean as a dot, its 95 % interval as a line, and a small mark at the mean of each run.

    Args:
        row: The row of the comparison.
        means: The means of its runs.
        ends: The ends of the axis, the same for all rows.
        place: The place of its color.
    """
    axis = Axis(*ends, start=5, end=165)
    low, high = row.interval or (row.mean, row.mean)
    parts = [line("range", axis(low), axis(high), 11, 11), *(line("seed", axis(m), axis(m), 3, 19) for m in means)]
    parts.append(tag("circle", "dot", cx=axis(row.mean), cy=11, r=4.5))
    return svg(170, 22, parts, interval_text(row.interval), style(place))


def scatter_axes(low: float, high: float) -> tuple[Axis, Axis]:
    """Return the axes of a square chart of one score against itself."""
    return Axis(low, high, start=62, end=488), Axis(low, high, start=454, end=12)


def scatter_chart(x: Axis, y: Axis, scores: Mapping[str, tuple[float, float]], across: str, up: str) -> str:
    """Draw a point for each image: its scores by two configurations. The page's script finds points by class.

    Args:
        x: See `scatter_axes`.
        y: See `scatter_axes`.
        scores: By image id.
        across: The name of the first configuration.
        up: The name of the second.
    """
    dots = [
        tag("circle", title=f"{name}: {a:.4f}, {b:.4f}", cx=x(a), cy=y(b), r=3.5) for name, (a, b) in scores.items()
    ]
    even = tag("polyline", "even", points=points(x, y, (x.low, x.high), (x.low, x.high)))
    across, up = (f"{name[: _MOST_NAME - 1]}…" if len(name) > _MOST_NAME else name for name in (across, up))
    parts = [frame(x, y, across, up), even, tag("g", "points", "".join(dots))]
    return svg(500, 500, parts, "The scores of each image by two configurations")


def curve_chart(curves: Mapping[str, Curve], levels: Sequence[float]) -> str:
    """Draw mean Dice against threshold, a line for each map; mark levels, best level and best pair of the first map.

    Args:
        curves: By the name of the map.
        levels: Thresholds in use.
    """
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
    parts += [_dot("level", *at(level), 4.5, f"level {level:g}") for level in levels]
    parts += [_diamond(*at(level), f"best pair: {level:g}") for level in main.best_pair()[:2]]
    parts.append(_dot("best", *at(best), 8.5, f"best {best:g}: {dice:.3f}"))
    samples = {name: line(f"line line{index}", 0, 26, 0, 0) for index, name in enumerate(curves)} | {
        "middle half of the images": tag("rect", "band", x=0, y=-6, width=26, height=12),
        "your levels": _dot("level", 13, 0, 4.5),
        "best single level": _dot("best", 13, 0, 8.5),
        "best pair": _diamond(13, 0),
    }
    for place, (name, sample) in enumerate(samples.items()):
        where = f"translate({52 + 240 * (place % 3)} {376 + 24 * (place // 3)})"
        parts.append(tag("g", inside=sample + text(name, 36, 4, "start"), transform=where))
    return svg(760, 412, parts, f"Mean Dice against threshold; best {dice:.2f} at {best:g}")


def histogram(values: np.ndarray, low: float, high: float, marks: Mapping[str, float]) -> str:
    """Draw 24 bars, the median, and marks at published figures.

    Args:
        values: [N], at least one; those beyond the ends count in the first or the last bar.
        low: The left end of the axis.
        high: The right end.
        marks: Places on the axis by short name.
    """
    counts, edges = np.histogram(np.clip(values, low, high), bins=24, range=(low, high))
    x, y = Axis(low, high, start=8, end=292), Axis(0, float(counts.max()), start=108, end=26)
    parts = [line("axis", 8, 292, y.start, y.start)]
    for left, right, count in zip(edges, edges[1:], counts.tolist(), strict=False):
        if count:
            sides = {"x": x(left), "y": y(count), "width": x(right) - x(left) - 1, "height": y.start - y(count)}
            parts.append(tag("rect", "bar", "", f"{left:.3g} to {right:.3g}: {count}", **sides))
    for name, place in marks.items():
        parts += [line("mark", x(place), x(place), 16, y.start), text(name, x(place), 11, kind="small")]
    median = float(np.median(values))
    middle = x(float(np.clip(median, low, high)))
    parts.append(line("median", middle, middle, y.end - 4, y.start))
    for place, anchor in ((low, "start"), ((low + high) / 2, "middle"), (high, "end")):
        parts.append(text(f"{place:.3g}", x(place), 124, anchor, "small"))
    return svg(300, 132, parts, f"Histogram, median {median:.3g}")


def importance_chart(values: Mapping[str, float], title: str) -> str:
    """Draw horizontal bars of values in [0, 1], the longest first, as an SVG file that needs no page."""
    style = "text{font:13px system-ui,sans-serif;fill:#222} rect{fill:#2a6f97} .paper{fill:#fff} .name{font-weight:600}"
    parts = [tag("style", inside=style), tag("rect", "paper", width="100%", height="100%")]
    parts.append(text(title, 16, 30, "start", "name"))
    for row, (name, value) in enumerate(sorted(values.items(), key=lambda item: (-item[1], item[0]))):
        y, width = 48 + 30 * row, max(value, 0.0) * 440
        parts += [text(name, 250, y + 15, "end"), tag("rect", "bar", x=260, y=y, width=width, height=20)]
        parts.append(text(f"{value:.2f}", 268 + width, y + 15, "start"))
    chart = svg(760, 56 + 30 * len(values), parts, title)
    return chart.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1) + "\n"


def _dot(kind: str, x: float, y: float, radius: float, title: str = "") -> str:
    return tag("circle", kind, title=title, cx=x, cy=y, r=radius)


def _diamond(x: float, y: float, title: str = "") -> str:
    corners = f"{x:.1f},{y - 6:.1f} {x + 6:.1f},{y:.1f} {x:.1f},{y + 6:.1f} {x - 6:.1f},{y:.1f}"
    return tag("polygon", "pair", title=title, points=corners)
