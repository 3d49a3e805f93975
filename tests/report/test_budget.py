"""Which label to collect next, from what was measured."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fovea.report.budget import Budget, Costs, budget
from fovea.report.report_page import write_figures, write_report_page
from fovea.report.runs import find_runs
from fovea.report.study import study
from fovea.runtime.bounds import check

MakeRun = Callable[..., Path]
COSTS = Costs({"masks": 72.0, "boxes": 18.0, "gaze": 9.0}, "measured", None)
# Images and Dice by kind; hours: gaze 0.5 1 2, boxes 1 2 4, masks 4 8.
RUNS = {
    "gaze": {200: 0.50, 400: 0.55, 800: 0.60},
    "boxes": {200: 0.40, 400: 0.58, 800: 0.65},
    "masks": {200: 0.62, 400: 0.70},
}


def planned(folder: Path, costs: Costs = COSTS) -> Budget | None:
    return budget(study(find_runs(str(folder / "runs"), "val", "dice"), [], None, "dice", 0.05, 200, 0), costs)


@pytest.fixture
def runs(make_run: MakeRun, tmp_path: Path) -> Path:
    for kind, listed in RUNS.items():
        for images, dice in listed.items():
            changes = {"data.fraction": images / 800, "labels.path": kind}
            make_run(f"{kind}/{images}", changes, dice=dice, labels={kind: images})
    return tmp_path


@pytest.mark.parametrize(
    ("hours", "advice"),
    [
        (None, ["Within 2 h, collect gaze on 800 images (2 h): dice", "boxes on 400 images (2 h): -0.02", "beyond"]),
        (1.5, ["Within 1.5 h, collect gaze on 400 images (1 h)", "boxes on 200 images (1 h): -0.15", "(worse, "]),
        (4.0, ["Within 4 h, collect boxes on 800", "masks on 200 images (4 h): -0.03", "beyond that, masks on 400"]),
        (99.0, ["Within 99 h, collect masks on 400 images (8 h)", "boxes on 800", "nothing more expensive was"]),
        (0.1, ["Nothing was measured within 0.1 h: the least is gaze on 200 images (0.5 h)"]),
    ],
)  # fmt: skip
def test_the_advice_names_only_what_was_measured(runs: Path, hours: float | None, advice: list[str]) -> None:
    plan = planned(runs, replace(COSTS, hours=hours))
    assert plan is not None and [part for part in advice if part not in plan.advice] == [], plan.advice


def test_the_chart_has_a_line_for_each_kind(runs: Path, make_run: MakeRun) -> None:
    plan = planned(runs)
    assert plan is not None and plan.left_out == []
    assert plan.chart.count("<polyline") == 3 and plan.chart.count("<circle") == 8 and plan.chart.count("spread") == 8
    assert [name for name, _ in plan.legend] == ["boxes", "gaze", "masks"]
    make_run("old", {"optimizer.lr": 0.5})
    make_run("scribbles", {"optimizer.lr": 0.6}, labels={"scribbles": 5})
    plan = planned(runs)
    assert plan is not None and len(plan.left_out) == 2 and plan.chart.count("<circle") == 8
    report = study(find_runs(str(runs / "runs"), "val", "dice"), [], None, "dice", 0.05, 200, 0)
    write_report_page(runs / "report.html", report, 0, plan)
    page = (runs / "report.html").read_text()
    assert "What to label next" in page and "Seconds: measured." in page and "Left out" in page
    write_figures(runs, report, plan)
    assert "hours of annotation" in (runs / "charts" / "budget.svg").read_text()


def test_the_advice_is_corrected_for_all_that_it_was_chosen_from(runs: Path, make_run: MakeRun) -> None:
    hours = replace(COSTS, hours=1.5)
    plan = planned(runs, hours)
    assert plan is not None and "boxes on 200 images (1 h): -0.15" in plan.advice and "(worse, " in plan.advice
    for rate in range(1, 5):  # 11 comparisons by 200 flips: p (Holm) is 11 / 201 or more
        make_run(f"other/{rate}", {"optimizer.lr": rate}, dice=0.1, labels={"gaze": 100})
    plan = planned(runs, hours)
    assert plan is not None and "boxes on 200 images (1 h): -0.15" in plan.advice and "(no difference" in plan.advice


def test_equal_hours_have_no_chart(make_run: MakeRun, tmp_path: Path) -> None:
    for rate in (0.1, 0.2):
        make_run(f"{rate}", {"optimizer.lr": rate}, labels={"gaze": 100})
    assert planned(tmp_path) is None


def test_costs_that_are_none_are_refused() -> None:
    for costs, message in (
        (None, r"^budget must be keys with values in braces, got None$"),
        ({"seconds": None}, r"^budget\.seconds must be keys with values in braces, got None$"),
    ):
        with pytest.raises(ValueError, match=message):
            check(Costs, costs, "budget")  # type: ignore[arg-type]
