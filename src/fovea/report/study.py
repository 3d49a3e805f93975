"""Run folders, compared: which configuration did best, by how much, and whether that is a difference."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fovea.report.comparison import Comparison, compare_runs
from fovea.report.configurations import Configuration, configurations, shown
from fovea.report.runs import FINISHED, Run
from fovea.runtime.config import flat, is_under
from fovea.runtime.errors import first_few
from fovea.runtime.files import write_csv

MOVING = ("data.misalignment",)
"""Keys that move the truth with its image, part of it out of the volume, so that its size says nothing."""

_TOLERANCE = 1e-4  # of the share of an image that its lesion covers, which is written with six digits


@dataclass(frozen=True)
class Study:
    """What a report tells."""

    runs: list[Run]  # all that were found
    configurations: list[Configuration]  # those with a finished run, the baseline first, then as they were found
    comparison: Comparison  # its rows are these configurations


def study(
    runs: Sequence[Run],
    ignore: Sequence[str],
    baseline: str | None,
    alpha: float,
    resamples: int,
    score: str,
    seed: int,
) -> Study:
    """Group the runs and compare the groups, by `fovea.report.comparison.compare_runs`, which has the other arguments.

    Args:
        runs: As they were found; only finished ones are compared.
        ignore: Keys in which the runs of one configuration may differ.
        baseline: The name of a configuration, parts of it that no other has, or a run folder; None: the first.
        alpha: See `compare`.
        resamples: See `compare`.
        score: The column that they were read with.
        seed: See `compare`.

    Raises:
        ValueError: no run is finished, runs are of different data, or `baseline` is none or several.
    """
    finished = [run for run in runs if run.status == FINISHED]
    if not finished:
        folder, note = runs[0].folder, runs[0].note
        raise ValueError(f"runs: none of {len(runs)} is finished ({folder}: {note}); train and evaluate first")
    check_same_data(finished)
    grouped = [each for each in configurations([run for run in runs if run.config], ignore) if _finished(each)]
    first = _baseline(grouped, baseline)
    grouped = [first, *(each for each in grouped if each is not first)]
    evaluated = {each.name: [run.evaluated for run in _finished(each) if run.evaluated] for each in grouped}
    return Study(list(runs), grouped, compare_runs(evaluated, score, alpha, resamples, seed))


def _finished(configuration: Configuration) -> list[Run]:
    return [run for run in configuration.runs if run.status == FINISHED]


def _baseline(grouped: Sequence[Configuration], wanted: str | None) -> Configuration:
    if wanted is None:
        return grouped[0]
    for found in (
        [each for each in grouped if each.name == wanted],
        [each for each in grouped if all(part.strip() in each.name for part in wanted.split(", "))],
        [each for each in grouped for run in each.runs if run.folder.resolve() == Path(wanted).resolve()],
    ):
        if len(found) == 1:
            return found[0]
    names = "; ".join(each.name for each in grouped[:8]) + ("; …" if len(grouped) > 8 else "")
    raise ValueError(f"baseline={wanted}: not one of the configurations; give a run folder, or of these: {names}")


def keep(runs: Sequence[Run], only: Any) -> list[Run]:
    """The runs whose configuration has the values of a mapping; those without a configuration stay, to be listed.

    Raises:
        ValueError: none is left, or `only` is neither a mapping nor None.
    """
    if not isinstance(only, Mapping | None):
        raise ValueError(f"only={only}: give keys with their values: 'only={{data.name: kvasir}}'")
    wanted = {key: shown(key, value) for key, value in flat(only or {})}
    kept = [
        run
        for run in runs
        if not run.config or all(shown("", run.config.get(key)) == value for key, value in wanted.items())
    ]
    if not any(run.config for run in kept):
        raise ValueError(f"only={only}: no run has these values; give keys as in config.yaml: data.name, …")
    return kept


def check_same_data(runs: Sequence[Run]) -> None:
    """Make sure that runs were evaluated on the same images.

    The folder of the data may be another on another machine: what counts is the name of the data set, the ids, and
    the size of each true lesion where the evaluation has it.

    Raises:
        ValueError: they were not.
    """
    first, *others = runs
    mend = "give runs of one data set, or 'only={data.name: …}', and report each by itself"
    sizes = first.evaluated.sizes if first.evaluated else {}
    for other in others:
        for key in ("data.name", "data.channels", "data.classes"):
            ours, theirs = first.config.get(key), other.config.get(key)
            if ours != theirs:
                raise ValueError(f"runs: {key} is {ours} in {first.folder} but {theirs} in {other.folder}; {mend}")
        assert first.evaluated is not None and other.evaluated is not None
        roots = f"data.root is {first.config.get('data.root')} in {first.folder}, {other.config.get('data.root')} in "
        if unshared := sorted(first.evaluated.scores.keys() ^ other.evaluated.scores.keys()):
            raise ValueError(
                f"runs: {len(unshared)} images were evaluated in only one of two runs ({first_few(unshared, 3)}): "
                f"{roots}{other.folder}; {mend}"
            )
        if any(is_under(key, MOVING) and first.config.get(key) != value for key, value in other.config.items()):
            continue
        theirs = other.evaluated.sizes
        if moved := [name for name in sizes.keys() & theirs.keys() if abs(sizes[name] - theirs[name]) > _TOLERANCE]:
            raise ValueError(
                f"runs: {len(moved)} images have other masks in two runs ({first_few(sorted(moved), 3)}): "
                f"{roots}{other.folder}; {mend}"
            )


def write_runs(path: Path, found: Study) -> None:
    """A row a run, of whatever status, with the keys in which configurations differ.

    Raises:
        ValueError: it cannot be written.
    """
    keys = list(found.configurations[0].values)
    of = {run.folder: each for each in found.configurations for run in each.runs}
    rows = []
    for run in found.runs:
        scores = list(run.evaluated.scores.values()) if run.evaluated else []
        mean = f"{sum(scores) / len(scores):.6f}" if scores else ""
        home = of.get(run.folder)
        settings = [shown(key, home.values[key]) if home else "" for key in keys]
        name = home.name if home else ""
        facts = [run.training.get("steps", ""), run.training.get("seconds", ""), run.note]
        rows.append([run.folder, name, run.status, "" if run.seed is None else run.seed, mean, *facts, *settings])
    header = ["folder", "configuration", "status", "seed", found.comparison.column, "steps", "seconds", "note", *keys]
    write_csv(path, header, rows)
