"""Charts of runs put figures where they belong."""

import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from fovea.report.comparison import Row
from fovea.report.plot import plot, span, ticks
from fovea.report.run_charts import (
    Curves,
    Dose,
    dose_chart,
    interval_bar,
    learning_chart,
    mean_curve,
    scatter_chart,
    scatter_plot,
    style,
)

HOSTILE = "<script>alert(1)</script>\"'&"


def row(name: str, mean: float, std: float | None = None) -> Row:
    return Row(name, [], 1, mean, std, (mean - 0.1, mean + 0.1), None)


def curve(*points: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([x for x, _ in points]), np.array([y for _, y in points])


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (0.4143, 0.5638), (-4.2, 1.3), (0.0, 15000.0), (1e-6, 2e-6)])
def test_ticks_are_round_few_and_inside(low: float, high: float) -> None:
    found = ticks(low, high)
    assert 3 <= len(found) <= 7 and low <= found[0] and found[-1] <= high
    assert all(len(f"{value:g}") <= 7 for value in found)
    assert np.allclose(np.diff(found), found[1] - found[0])


@pytest.mark.parametrize("values", [[], [math.nan], [3.0], [0.0, 0.0], [1.0, math.inf, 2.0]])
def test_a_span_has_room_whatever_it_is_of(values: list[float]) -> None:
    low, high = span(values)
    assert low < high and math.isfinite(low) and math.isfinite(high)
    assert all(low < value < high for value in values if math.isfinite(value))


def test_the_mean_is_over_the_steps_that_all_runs_reach() -> None:
    steps, values = mean_curve([curve((0, 0.0), (10, 1.0), (20, 1.0)), curve((5, 1.5), (10, 2.0))])
    assert steps.tolist() == [5, 10] and values.tolist() == [1.0, 1.5]
    assert len(mean_curve([curve((0, 1.0)), curve((5, 1.0))])[0]) == 0


def test_every_run_has_a_line_and_every_configuration_a_mean() -> None:
    one, two = curve((0, 0.0), (10, 1.0)), curve((0, 1.0), (10, 0.0))
    text = learning_chart([Curves(HOSTILE, 0, [("a", one), ("b", two)], [one]), Curves("c", 1, [("c", one)], [])], "y")
    assert text.count('<polyline class="run"') == 3 and text.count('<polyline class="mean"') == 1
    assert "<script>" not in text and "&lt;script&gt;" in text
    ElementTree.fromstring(text)


def test_long_curves_are_thinned_and_single_points_are_dots() -> None:
    long = curve(*((float(step), 1.0) for step in range(5000)))
    text = learning_chart([Curves("a", 0, [("a", long), ("b", curve((3, 1.0)))], [])], "y")
    assert len(text) < 6000 and '<circle class="run"' in text


def test_a_dose_is_at_its_value_and_its_spread_around_it() -> None:
    rows = [row("a", 0.4, 0.1), row("b", 0.6)]
    root = ElementTree.fromstring(dose_chart([Dose(HOSTILE, 0, [0.1, 0.2], rows)], "data.fraction", "dice"))
    axes = plot(span([0.1, 0.2]), span([0.3, 0.5, 0.6]))
    dots = [(float(dot.get("cx", 0)), float(dot.get("cy", 0))) for dot in root.iter("circle")]
    assert np.allclose(dots, [(axes.x(0.1), axes.y(0.4)), (axes.x(0.2), axes.y(0.6))], atol=0.1)
    (bar,) = [line for line in root.iter("line") if line.get("class") == "spread"]
    assert float(bar.get("y1", 0)) - float(bar.get("y2", 0)) == pytest.approx(axes.y(0.3) - axes.y(0.5), abs=0.2)


def test_series_at_one_value_stand_beside_each_other() -> None:
    rows = [row("a", 0.4, 0.1), row("b", 0.4, 0.1)]
    root = ElementTree.fromstring(dose_chart([Dose(n, i, [0.1], [rows[i]]) for i, n in enumerate("ab")], "k", "dice"))
    shifts = [group.get("transform") for group in root.iter("g")]
    assert shifts == ["translate(-3.5 0)", "translate(3.5 0)"]


@pytest.mark.parametrize(("values", "even"), [([0.001, 0.01, 0.1], True), ([0.0, 0.01, 0.1], False)])
def test_a_key_over_decades_has_a_logarithmic_axis(values: list[float], even: bool) -> None:
    rows = [row(str(value), 0.5) for value in values]
    root = ElementTree.fromstring(dose_chart([Dose("a", 0, values, rows)], "lr", "dice"))
    places = [float(dot.get("cx", 0)) for dot in root.iter("circle")]
    assert bool(np.allclose(np.diff(places, 2), 0, atol=0.2)) == even


def test_an_interval_has_its_ends_its_mean_and_its_seeds() -> None:
    root = ElementTree.fromstring(interval_bar(row("a", 0.5), [0.45, 0.55], (0.0, 1.0), 9))
    places = [float(line.get(key, 0)) for line in root.iter("line") for key in ("x1", "x2")]
    assert places == pytest.approx([69, 101, 77, 77, 93, 93]) and root.get("class") == style(9) == "s1 d1"


def test_points_of_a_scatter_are_named_and_placed() -> None:
    axes = scatter_plot(0.0, 1.0)
    text = scatter_chart(axes, {HOSTILE: (0.25, 0.75)}, HOSTILE, "x" * 99)
    root = ElementTree.fromstring(text)
    (point,) = root.iter("circle")
    assert (float(point.get("cx", 0)), float(point.get("cy", 0))) == pytest.approx(
        (axes.x(0.25), axes.y(0.75)), abs=0.1
    )
    assert point[0].text == f"{HOSTILE}: 0.2500, 0.7500" and "<script>" not in text
    assert re.search("x{59}…<", text)
