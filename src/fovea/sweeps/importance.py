"""What a search found: its trials as a table, the best, and how much each key mattered."""

import logging
import math
from collections.abc import Mapping
from html import escape
from pathlib import Path

import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import TrialState

from fovea.runtime.files import write_csv, write_json, write_text

log = logging.getLogger(__name__)
_WIDTH, _LEFT, _BAR, _ROW = 760, 260, 440, 30  # units of the drawing


def write_findings(study: optuna.Study, folder: Path) -> None:
    """Write `trials.csv`, `study.json` (the best trial and the importances) and `importance.svg` into a folder."""
    trials = study.get_trials(deepcopy=False)
    keys = sorted({key for trial in trials for key in trial.params})
    rows = [
        [
            each.number,
            each.state.name.lower(),
            each.value if each.value is not None else "",
            *map(each.params.get, keys),
        ]
        for each in trials
    ]
    write_csv(folder / "trials.csv", ["trial", "state", "value", *keys], rows)
    done = [each for each in trials if each.state == TrialState.COMPLETE]
    if not done:
        return
    best = study.best_trial
    found = {"trial": best.number, "value": best.value, "parameters": best.params}
    importance = importances(study)
    write_json(folder / "study.json", {"best": found, "importance": importance, "trials": len(done)})
    chosen = " ".join(f"{key}={value}" for key, value in best.params.items())
    log.info("best of %d trials: number %d with %.4f: %s", len(done), best.number, best.value, chosen)
    if importance:
        write_text(folder / "importance.svg", bars(importance, f"Importance of each key over {len(done)} trials"))


def importances(study: optuna.Study) -> dict[str, float]:
    """How much of what parts good trials from others each key explains, in [0, 1], the sum 1; empty where none varies.

    PED-ANOVA (Watanabe et al., IJCAI 2023), Optuna's evaluator that needs no forest of trees.
    """
    done = [each for each in study.get_trials(deepcopy=False) if each.state == TrialState.COMPLETE]
    if len({each.value for each in done}) < 2:
        return {}
    found = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    return {key: round(value, 6) for key, value in found.items()} if all(map(math.isfinite, found.values())) else {}


def bars(values: Mapping[str, float], title: str) -> str:
    """Horizontal bars as an SVG file that stands alone.

    Args:
        values: in [0, 1] by name, of which there is one at least.
        title: above the bars.
    """
    height = 56 + _ROW * len(values)
    parts = [f'<text x="16" y="30" font-size="16" font-weight="600">{escape(title)}</text>']
    for row, (name, value) in enumerate(sorted(values.items(), key=lambda item: (-item[1], item[0]))):
        y, width = 48 + _ROW * row, max(value, 0.0) * _BAR
        parts += [
            f'<text x="{_LEFT - 10}" y="{y + 15}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{_LEFT}" y="{y}" width="{width:.1f}" height="20" rx="2" fill="#2a6f97"/>',
            f'<text x="{_LEFT + width + 8:.1f}" y="{y + 15}" fill="#555">{value:.2f}</text>',
        ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        f'font-family="system-ui, sans-serif" font-size="13" fill="#222">'
        f'<rect width="100%" height="100%" fill="#fff"/>{"".join(parts)}</svg>\n'
    )
