"""Charts of runs: learning curves, a score against a swept key, intervals, image against image."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from fovea.report.comparison import Row, interval_text
from fovea.report.plot import Axis, Plot, frame, plot, span
from fovea.report.runs import Curve

_MOST_POINTS = 200  # of one line; a page of many runs stays small
_MOST_NAME = 60  # characters of a name beside an axis
_COLOURS, _DASHES = 8, 3
_APART, _MOST_APART = 7.0, 28.0  # between the bars of two series at one value, and of all of them, in units
_LOGARITHMIC = 20.0  # an axis whose largest value is this many times the least is logarithmic


@dataclass(frozen=True)
class Curves:
    """The learning curves of one configuration."""

    name: str
    style: int  # see `style`
    runs: Sequence[tuple[str, Curve]]  # by title
    finished: Sequence[Curve]  # those that the mean is of


def style(place: int) -> str:
    """The classes of the colour and the dashes of a configuration: 24 differ."""
    return f"s{place % _COLOURS} d{place // _COLOURS % _DASHES}"


def learning_chart(listed: Sequence[Curves], name: str) -> str:
    """One thin line a run and a strong one for the mean over the finished runs of a configuration.

    Args:
        listed: At least one curve in all.
        name: Of the quantity.

    Returns:
        An `<svg>` of 560 x 330 units.
    """
    every = [curve for each in listed for _, curve in each.runs]
    steps = [float(step) for x, _ in every for step in (x[0], x[-1])]
    axes = plot(span(steps, 0.02), span(value for _, y in every for value in y.tolist()))
    parts = [frame(axes, "step", name)]
    for each in listed:
        thin = [_drawn(axes, curve, "run", title) for title, curve in each.runs]
        mean = [_drawn(axes, mean_curve(each.finished), "mean", f"{each.name}: mean")] if each.finished else []
        parts.append(f'<g class="{style(each.style)}">{"".join(thin + mean)}</g>')
    return axes.svg(parts, f"{name} against steps")


def mean_curve(curves: Sequence[Curve]) -> Curve:
    """The mean of curves over the steps that all of them reach, with straight lines between their points."""
    low, high = max(x[0] for x, _ in curves), min(x[-1] for x, _ in curves)
    steps = np.unique(np.concatenate([x for x, _ in curves]))
    steps = steps[(steps >= low) & (steps <= high)]
    return steps, np.mean([np.interp(steps, x, y) for x, y in curves], axis=0)


def _drawn(axes: Plot, curve: Curve, kind: str, title: str) -> str:
    steps, values = curve
    if not len(steps):
        return ""
    kept = np.unique(np.linspace(0, len(steps) - 1, min(len(steps), _MOST_POINTS)).round().astype(int))
    said = f"<title>{escape(title)}</title>"
    if len(kept) == 1:
        return f'<circle class="{kind}" cx="{axes.x(steps[0]):.1f}" cy="{axes.y(values[0]):.1f}" r="3">{said}</circle>'
    return f'<polyline class="{kind}" points="{axes.path(steps[kept], values[kept])}">{said}</polyline>'


@dataclass(frozen=True)
class Dose:
    """Configurations that differ in one number."""

    name: str
    style: int
    x: Sequence[float]  # rising
    rows: Sequence[Row]


def dose_chart(listed: Sequence[Dose], key: str, score: str) -> str:
    """A score against a key: the mean, its standard deviation over seeds as a bar, and a line through the means.

    Args:
        listed: One or more series.
        key: Name of the key.
        score: Name of the score.

    Returns:
        An `<svg>` of 560 x 330 units; the axis of the key is logarithmic where its values differ 20 times or more.
    """
    values = sorted({value for each in listed for value in each.x})
    logarithmic = values[0] > 0 and values[-1] / values[0] >= _LOGARITHMIC
    ends = (values[0] / 1.25, values[-1] * 1.25) if logarithmic else span(values)
    heights = [row.mean + sign * (row.std or 0) for each in listed for row in each.rows for sign in (-1, 1)]
    axes = plot(ends, span(heights), logarithmic=logarithmic)
    parts = [frame(axes, key, score, values)]
    apart = min(_APART, _MOST_APART / len(listed))
    for place, each in enumerate(listed):
        drawn = [f'<polyline class="mean" points="{axes.path(each.x, [row.mean for row in each.rows])}"/>']
        drawn += [_dose_point(axes, x, row) for x, row in zip(each.x, each.rows, strict=True)]
        beside = f'transform="translate({(place - (len(listed) - 1) / 2) * apart:g} 0)"'  # or bars would hide bars
        parts.append(f'<g class="{style(each.style)}" {beside}>{"".join(drawn)}</g>')
    return axes.svg(parts, f"{score} against {key}")


def _dose_point(axes: Plot, value: float, row: Row) -> str:
    spread = row.std or 0.0
    x, y, low, high = axes.x(value), *(axes.y(each) for each in (row.mean, row.mean - spread, row.mean + spread))
    known = "" if row.std is None else f" ± {row.std:.4f}"
    bar = f'<line class="spread" x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" y2="{high:.1f}"/>' if spread else ""
    title = f"<title>{escape(row.name)}: {row.mean:.4f}{known}</title>"
    return f'{bar}<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="4.5">{title}</circle>'


def interval_bar(row: Row, means: Sequence[float], ends: tuple[float, float], place: int) -> str:
    """The mean as a dot, its 95 % interval as a line, and a small mark at the mean of each run.

    Args:
        row: Of the comparison.
        means: Of its runs.
        ends: Of the axis, the same for all rows.
        place: Of its colour.

    Returns:
        An `<svg>` of 170 x 22 units.
    """
    axis = Axis(*ends, start=5, end=165)
    low, high = (axis(end) for end in row.interval or (row.mean, row.mean))
    marks = [f'<line class="seed" x1="{axis(m):.1f}" x2="{axis(m):.1f}" y1="3" y2="19"/>' for m in means]
    return (
        f'<svg class="{style(place)}" viewBox="0 0 170 22" role="img" '
        f'aria-label="{interval_text(row.interval)}">'
        f'<line class="range" x1="{low:.1f}" x2="{high:.1f}" y1="11" y2="11"/>'
        f'{"".join(marks)}<circle class="dot" cx="{axis(row.mean):.1f}" cy="11" r="4.5"/></svg>'
    )


def scatter_plot(low: float, high: float) -> Plot:
    """The frame of a square chart of one score against itself."""
    side = (low, high)
    return Plot(Axis(*side, start=62, end=488), Axis(*side, start=454, end=12), 500, 500)


def scatter_chart(axes: Plot, scores: Mapping[str, tuple[float, float]], across: str, up: str) -> str:
    """One point an image, its scores by two configurations; above the line the second is higher.

    Args:
        axes: See `scatter_plot`.
        scores: By image id.
        across: The first configuration.
        up: The second.

    Returns:
        An `<svg>` of 500 x 500 units, in which the points and the names can be found by class.
    """
    points = [
        f'<circle cx="{axes.x(a):.1f}" cy="{axes.y(b):.1f}" r="3.5">'
        f"<title>{escape(name)}: {a:.4f}, {b:.4f}</title></circle>"
        for name, (a, b) in scores.items()
    ]
    ends = axes.path((axes.x.low, axes.x.high), (axes.x.low, axes.x.high))
    parts = [
        frame(axes, _cut(across), _cut(up)),
        f'<polyline class="even" points="{ends}"/>',
        f'<g class="points">{"".join(points)}</g>',
    ]
    return axes.svg(parts, "The scores of each image by two configurations")


def _cut(name: str) -> str:
    return f"{name[: _MOST_NAME - 1]}…" if len(name) > _MOST_NAME else name
