"""The score against the hours of annotation, of runs on different kinds and numbers of labels: what to label next."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from fovea.report.charts import Dose, dose_chart, style
from fovea.report.comparison import Row, compare_runs, interval_text
from fovea.report.configurations import Configuration, shared_name
from fovea.report.study import Study
from fovea.runtime.bounds import NonNegative, Positive
from fovea.runtime.objective import lower_is_better

NUMBERS = ("data.fraction", "data.labeled_fraction", "data.labeled_slices")  # keys that decide how much is labeled


@dataclass(frozen=True)
class Costs:
    """What labels cost."""

    seconds: Mapping[str, NonNegative]  # of annotation for an image, by kind of label
    source: str  # where these numbers are from
    hours: Positive | None  # what can be spent; None: the time up to which every kind of label was measured


@dataclass(frozen=True)
class Labeled:
    """A configuration and the labels that it was trained on."""

    row: Row
    kind: str  # or several: gaze + masks
    images: int  # the mean over its runs
    hours: float

    def __str__(self) -> str:
        return f"{self.kind} on {self.images} images ({self.hours:.3g} h)"


@dataclass(frozen=True)
class Budget:
    """The chart with its legend, what to label next, and the configurations whose labels have no known cost."""

    chart: str
    legend: list[tuple[str, str]]
    advice: str
    left_out: list[str]
    source: str


def budget(report: Study, costs: Costs) -> Budget | None:
    """Draw the score against hours; None where the configurations do not differ in hours."""
    series: dict[tuple[str, str], list[Labeled]] = {}
    left_out = []
    for own, row in zip(report.configurations, report.comparison.rows, strict=True):
        if (labeled := _labeled(own, row, costs.seconds)) is None:
            left_out.append(own.name)
            continue
        others = {key: value for key, value in own.values.items() if key not in NUMBERS}
        series.setdefault((labeled.kind, json.dumps(others, default=str)), []).append(labeled)
    every = [each for listed in series.values() for each in listed]
    if len({each.hours for each in every}) < 2:
        return None
    kinds, doses = [kind for kind, _ in series], []
    for place, ((kind, _), listed) in enumerate(series.items()):
        listed.sort(key=lambda each: each.hours)
        rows = [each.row for each in listed]
        name = kind if kinds.count(kind) == 1 else f"{kind}: {shared_name([row.name for row in rows])}"
        doses.append(Dose(name, place, [float(f"{each.hours:.3g}") for each in listed], rows))
    chart = dose_chart(doses, "hours of annotation", report.comparison.column, intervals=True)
    legend = [(dose.name, style(dose.style)) for dose in doses]
    return Budget(chart, legend, advice(every, report, costs.hours), left_out, costs.source)


def _labeled(own: Configuration, row: Row, seconds: Mapping[str, float]) -> Labeled | None:
    """Return the labels of a configuration; None for a kind without a cost, or a run that does not tell its labels."""
    counts = [run.training.get("labels") for run in own.runs]
    kinds = {kind for labels in counts for kind in (labels if isinstance(labels, dict) else [""])}
    if not kinds or not kinds <= seconds.keys():
        return None
    means = {kind: sum(labels.get(kind, 0) for labels in counts) / len(counts) for kind in sorted(kinds)}  # type: ignore[union-attr]
    spent = sum(number * seconds[kind] for kind, number in means.items())
    return Labeled(row, " + ".join(means), round(max(means.values())), spent / 3600)


def advice(every: list[Labeled], report: Study, hours: float | None) -> str:
    """Return which label to collect next, from measured runs only, without interpolation."""
    column, sign = report.comparison.column, -1.0 if lower_is_better(report.comparison.column) else 1.0
    most = {each.kind: max(other.hours for other in every if other.kind == each.kind) for each in every}
    limit = min(most.values()) if hours is None else hours
    if not (within := [each for each in every if each.hours <= limit * 1.0001]):
        return f"Nothing was measured within {limit:.3g} h: the least is {min(every, key=lambda each: each.hours)}"

    def rank(each: Labeled) -> tuple[float, float]:
        return sign * each.row.mean, -each.hours

    best = max(within, key=rank)
    rivals = [max(others, key=rank)] if (others := [each for each in within if each.kind != best.kind]) else []
    beyond = [each for each in every if each.hours > best.hours]
    rivals += sorted((each for each in beyond if rank(each) > rank(best)), key=lambda each: each.hours)[:1]
    names = [best.row.name, *(each.row.name for each in every if each is not best)]  # rivals are chosen from all
    settings = (column, report.comparison.alpha, report.comparison.resamples, report.comparison.seed)
    tested = {row.name: row for row in compare_runs({name: report.evaluated[name] for name in names}, *settings).rows}
    text = f"Within {limit:.3g} h, collect {best}: {column} {best.row.mean:.4f}"
    text += f" ({ends})" if (ends := interval_text(best.row.low, best.row.high)) else ""
    for rival, row in ((rival, tested[rival.row.name]) for rival in rivals):
        side = "beyond that, " if rival.hours > limit * 1.0001 else ""
        span = f", {ends}" if (ends := interval_text(row.difference_low, row.difference_high, "+")) else ""
        text += f"; {side}{rival}: {row.difference:+.4f} ({row.verdict}{span})"
    if len(rivals) == 0 or rank(rivals[-1]) < rank(best):
        text += "; no more expensive label was better" if beyond else "; nothing more expensive was measured"
    return text
