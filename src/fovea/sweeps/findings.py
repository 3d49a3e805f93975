"""The results of a search: its trials as a table, the best trial, and the importance of each key."""

import logging
import math
from collections.abc import Mapping
from pathlib import Path

import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import TrialState

from fovea.pictures.svg import alone, svg, tag, text
from fovea.runtime.files import write_csv, write_json, write_text

log = logging.getLogger(__name__)


def write_findings(study: optuna.Study, folder: Path) -> None:
    """Write `trials.csv`, `study.json` (the best trial and the importances) and `importance.svg` into a folder."""
    trials = study.get_trials(deepcopy=False)
    keys = sorted({key for trial in trials for key in trial.params})
    rows = []
    for trial in trials:
        value = "" if trial.value is None else trial.value
        rows.append([trial.number, trial.state.name.lower(), value, *(trial.params.get(key) for key in keys)])
    write_csv(folder / "trials.csv", ["trial", "state", "value", *keys], rows)
    count = sum(trial.state == TrialState.COMPLETE for trial in trials)
    if not count:
        return
    best, importance = study.best_trial, importances(study)
    facts = {"trial": best.number, "value": best.value, "parameters": best.params}
    write_json(folder / "study.json", {"best": facts, "importance": importance, "trials": count})
    chosen = " ".join(f"{key}={value}" for key, value in best.params.items())
    log.info("best of %d trials: number %d with %.4f: %s", count, best.number, best.value, chosen)
    if importance:
        chart = importance_chart(importance, f"Importance of each key over {count} trials")
        write_text(folder / "importance.svg", chart)


def importances(study: optuna.Study) -> dict[str, float]:
    """Return how much each key separates good trials from others, in [0, 1] with the sum 1; empty if no value varies.

    The evaluator is PED-ANOVA (Watanabe et al., IJCAI 2023).
    """
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len({trial.value for trial in trials}) < 2:
        return {}
    values = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    return {key: round(value, 6) for key, value in values.items()} if all(map(math.isfinite, values.values())) else {}


def importance_chart(values: Mapping[str, float], title: str) -> str:
    """Draw horizontal bars of values in [0, 1], the longest first, as an SVG file that needs no page."""
    parts = [text(title, 16, 30, "start")]
    for row, (name, value) in enumerate(sorted(values.items(), key=lambda item: (-item[1], item[0]))):
        y, width = 48 + 30 * row, max(value, 0.0) * 440
        parts += [text(name, 250, y + 15, "end"), tag("rect", "bar", x=260, y=y, width=width, height=20)]
        parts.append(text(f"{value:.2f}", 268 + width, y + 15, "start"))
    height = 56 + 30 * len(values)
    return alone(svg(760, height, parts, title), 760, height)
