"""Charts put figures where they belong."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from fovea.metrics.thresholds import GRID, Curve
from fovea.report.charts import curve_chart, histogram


def curve(peak: float) -> Curve:
    thresholds = np.array(GRID)
    return Curve(thresholds, np.stack([0.8 - (thresholds - peak) ** 2, 0.6 - (thresholds - peak) ** 2]))


def test_the_best_level_is_ringed_at_the_peak() -> None:
    root = ElementTree.fromstring(curve_chart({"map": curve(0.4)}, (0.5, 0.3)))
    ring, *_ = (circle for circle in root.iter("circle") if circle.get("class") == "best")
    assert float(ring.get("cx", 0)) == pytest.approx(52 + 0.4 * (744 - 52), abs=0.1)
    assert float(ring.get("cy", 0)) == pytest.approx(312 - 0.7 * (312 - 14), abs=0.1)


def test_every_curve_and_level_is_drawn_and_named() -> None:
    text = curve_chart({"map": curve(0.4), "heatmap": curve(0.6)}, (0.5, 0.3, 0.367))
    assert text.count("<polyline") == 2 and ">map<" in text and ">heatmap<" in text
    assert re.findall(r"<title>level ([\d.]+)</title>", text) == ["0.5", "0.3", "0.367"]


def test_bars_count_all_values_those_beyond_the_ends_too() -> None:
    text = histogram(np.array([-1.0, 0.1, 0.5, 0.51, 7.0]), 0.0, 1.0, {"EyeLink": 0.9})
    assert sum(map(int, re.findall(r": (\d+)</title>", text))) == 5
    assert "EyeLink" in text and "median 0.5" in text
    ElementTree.fromstring(text)


def test_the_highest_bar_reaches_the_top() -> None:
    root = ElementTree.fromstring(histogram(np.array([0.1, 0.1, 0.9]), 0.0, 1.0, {}))
    heights = [float(bar.get("height", 0)) for bar in root.iter("rect")]
    assert heights == pytest.approx([82, 41])
