"""Charts put numbers where they belong."""

import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from fovea.metrics.thresholds import GRID, Curve
from fovea.pictures.svg import span, ticks
from fovea.report.charts import (
    Dose,
    Line,
    axes,
    curve_chart,
    dose_chart,
    histogram,
    interval_bar,
    learning_chart,
    scatter_axes,
    scatter_chart,
    style,
)
from fovea.report.comparison import Row

HOSTILE = "<script>alert(1)</script>\"'&"


def row(name: str, mean: float, std: float | None = None) -> Row:
    return Row(name, [], 1, mean, std, mean - 0.1, mean + 0.1)


def circles(chart: str) -> list[tuple[float, float]]:
    result = ElementTree.fromstring(chart).iter("circle")
    return [(float(circle.get("cx", 0)), float(circle.get("cy", 0))) for circle in result]


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (0.4143, 0.5638), (-4.2, 1.3), (0.0, 15000.0), (1e-6, 2e-6)])
def test_ticks_are_round_few_and_inside(low: float, high: float) -> None:
    result = ticks(low, high)
    assert 3 <= len(result) <= 7 and low <= result[0] and result[-1] <= high
    assert all(len(f"{value:g}") <= 7 for value in result)
    assert np.allclose(np.diff(result), result[1] - result[0])


@pytest.mark.parametrize("values", [[], [math.nan], [3.0], [0.0, 0.0], [1.0, math.inf, 2.0]])
def test_a_span_has_a_margin(values: list[float]) -> None:
    low, high = span(values)
    assert low < high and math.isfinite(low) and math.isfinite(high)
    assert all(low < value < high for value in values if math.isfinite(value))


def test_learning_curves_are_escaped_thinned_and_dotted() -> None:
    steps = np.arange(5000.0)
    lines = [Line(0, "run", HOSTILE, steps, steps), Line(1, "mean", "b", steps[:1], steps[:1])]
    chart = learning_chart(lines, "y")
    assert chart.count('<polyline class="run"') == 1 and chart.count('<circle class="mean"') == 1
    assert "<script>" not in chart and len(chart) < 8000
    ElementTree.fromstring(chart)


class TestDoseChart:
    def test_has_means_and_their_spread(self) -> None:
        rows = [row("a", 0.4, 0.1), row("b", 0.6)]
        chart = dose_chart([Dose(HOSTILE, 0, [0.1, 0.2], rows)], "data.fraction", "dice")
        x, y = axes(span([0.1, 0.2]), span([0.3, 0.5, 0.6]))
        assert np.allclose(circles(chart), [(x(0.1), y(0.4)), (x(0.2), y(0.6))], atol=0.1)
        [bar] = [line for line in ElementTree.fromstring(chart).iter("line") if line.get("class") == "spread"]
        assert float(bar.get("y1", 0)) - float(bar.get("y2", 0)) == pytest.approx(y(0.3) - y(0.5), abs=0.2)
        beside = dose_chart([Dose(name, i, [0.1], rows[:1]) for i, name in enumerate("ab")], "k", "dice")
        assert re.findall(r'<g [^>]*transform="(.*?)"', beside) == ["translate(-3.5 0)", "translate(3.5 0)"]

    @pytest.mark.parametrize(("values", "even"), [([0.001, 0.01, 0.1], True), ([0.0, 0.01, 0.1], False)])
    def test_decades_have_a_logarithmic_axis(self, values: list[float], even: bool) -> None:
        chart = dose_chart([Dose("a", 0, values, [row(str(value), 0.5) for value in values])], "lr", "dice")
        places = [x for x, _ in circles(chart)]
        assert bool(np.allclose(np.diff(places, 2), 0, atol=0.2)) == even


def test_an_interval_has_ends_mean_and_seeds() -> None:
    root = ElementTree.fromstring(interval_bar(row("a", 0.5), [0.45, 0.55], (0.0, 1.0), 9))
    places = [float(line.get(key, 0)) for line in root.iter("line") for key in ("x1", "x2")]
    assert places == pytest.approx([69, 101, 77, 77, 93, 93]) and root.get("class") == style(9) == "s1 d1"


def test_scatter_points_have_place_and_name() -> None:
    x, y = scatter_axes(0.0, 1.0)
    chart = scatter_chart(x, y, {HOSTILE: (0.25, 0.75)}, HOSTILE, "x" * 99)
    [(across, up)] = circles(chart)
    assert (across, up) == pytest.approx((x(0.25), y(0.75)), abs=0.1)
    [point] = ElementTree.fromstring(chart).iter("circle")
    assert point[0].text == f"{HOSTILE}: 0.2500, 0.7500" and "<script>" not in chart
    assert re.search("x{59}…<", chart)


def curve(peak: float) -> Curve:
    thresholds = np.array(GRID)
    return Curve(thresholds, np.stack([0.8 - (thresholds - peak + 0.1) ** 2, 0.6 - (thresholds - peak - 0.1) ** 2]))


def test_curves_have_their_best_levels() -> None:
    chart = curve_chart({"map": curve(0.4), "heatmap": curve(0.6)}, (0.5, 0.3, 0.367))
    ring, *_ = [circle for circle in ElementTree.fromstring(chart).iter("circle") if circle.get("class") == "best"]
    assert float(ring.get("cx", 0)) == pytest.approx(62 + 0.4 * (744 - 62), abs=0.1)
    assert float(ring.get("cy", 0)) == pytest.approx(312 - 0.69 * (312 - 14), abs=0.1)
    assert chart.count("<polyline") == 2 and chart.count("best pair: ") == 2
    assert re.findall(r"<title>level ([\d.]+)</title>", chart) == ["0.5", "0.3", "0.367"]


def test_a_histogram_counts_all_values() -> None:
    chart = histogram(np.array([-1.0, 0.1, 0.5, 0.51, 7.0]), 0.0, 1.0, {"EyeLink": 0.9})
    assert sum(map(int, re.findall(r": (\d+)</title>", chart))) == 5
    assert "EyeLink" in chart and "median 0.5" in chart
    root = ElementTree.fromstring(histogram(np.array([0.1, 0.1, 0.9]), 0.0, 1.0, {}))
    assert [float(bar.get("height", 0)) for bar in root.iter("rect")] == pytest.approx([82, 41])
