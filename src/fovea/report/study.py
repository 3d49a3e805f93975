"""Compare the configurations of run folders: which did best, by how much, and whether that is a difference."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fovea.report.comparison import Comparison, compare_runs
from fovea.report.configurations import Configuration, completed, configurations, relevant, shown
from fovea.report.evaluations import Evaluated
from fovea.report.runs import FINISHED, REPEATED, Run
from fovea.runtime.config import flat, is_under
from fovea.runtime.errors import first_few, nearest
from fovea.runtime.files import write_csv

# Keys that move the truth with its image, partly out of the volume, so that its size differs.
MOVING = ("data.misalignment",)
_EACH = "each of"  # a fold of so many
_LISTED = 6  # configurations named in a warning


@dataclass(frozen=True)
class Study:
    """The content of a report."""

    runs: list[Run]  # all of them
    configurations: list[Configuration]  # of the finished runs, the baseline first
    comparison: Comparison  # its rows are these configurations
    evaluated: Mapping[str, list[Evaluated]]  # of each configuration by name, the folds of a seed as one


def study(
    runs: Sequence[Run],
    ignore: Sequence[str],
    baseline: str | None,
    score: str,
    alpha: float,
    resamples: int,
    seed: int,
) -> Study:
    """Group the runs and compare the groups by their finished runs, as `compare_runs` does.

    `ignore` are keys in which the runs of one configuration may differ. `baseline` is the name of a configuration,
    parts of it that no other has, or a run folder; None: the first. A ValueError if no run is finished, runs are of
    different data, or `baseline` is none or several.
    """
    check_keys("ignore", ignore, runs)
    runs = _once(completed([_folded(run) for run in runs], ignore), ignore)
    grouped = configurations(runs, ignore)
    if not grouped:
        nearly = min(runs, key=lambda run: not run.training)  # trained, so that its note tells what is missing
        raise ValueError(f"runs: none of {len(runs)} can be compared, e.g. {nearly.folder}: {nearly.note}")
    check_same_data([run for own in grouped for run in pooled(own.runs)])
    first = _baseline(grouped, baseline)
    grouped = [first, *(own for own in grouped if own is not first)]
    evaluated = {own.name: [run.evaluated for run in pooled(own.runs) if run.evaluated] for own in grouped}
    return Study(list(runs), grouped, compare_runs(evaluated, score, alpha, resamples, seed), evaluated)


def _folded(run: Run) -> Run:
    """Return a run on a fold, scored on its own val images, with the fold left open: each image is in one of them."""
    fold = run.config.get("data.fold")
    if not isinstance(fold, list) or run.evaluated is None or run.evaluated.split != "val":
        return run
    return replace(run, config={**run.config, "data.fold": f"{_EACH} {fold[-1]}"})


def _once(runs: Sequence[Run], ignore: Sequence[str]) -> list[Run]:
    """Mark copies of a run, and what evaluates a network again with the same configuration: they are no other seed."""
    first: dict[str, Run] = {}
    repeated: dict[Path, Run] = {}
    for run in sorted(runs, key=lambda run: not run.training):  # an evaluation with its own folder has none
        network = str([run.config.get("run_dir"), run.seed, relevant(run, ignore)])
        known = first.setdefault(network, run) if run.status == FINISHED else run
        if known is not run and (not run.training or _scores(run) == _scores(known)):
            note = f"has the network of {known.folder} again, with the same keys; that one counts"
            repeated[run.folder] = replace(run, status=REPEATED, note=note)
    return [repeated.get(run.folder, run) for run in runs]


def _scores(run: Run) -> Mapping[str, float]:
    return run.evaluated.scores if run.evaluated else {}


def pooled(runs: Sequence[Run]) -> list[Run]:
    """Join the folds of each seed of a configuration to a run with the scores of all their images."""
    joined: list[Run] = []
    for run in runs:
        own = run.evaluated
        for place, other in enumerate(joined):
            known, folds = other.evaluated, str(run.config.get("data.fold")).startswith(_EACH)
            if folds and own and known and other.seed == run.seed and not known.scores.keys() & own.scores.keys():
                joined[place] = replace(other, evaluated=known.joined(own))
                break
        else:
            joined.append(run)
    return joined


def _baseline(grouped: Sequence[Configuration], wanted: str | None) -> Configuration:
    if wanted is None:
        return grouped[0]
    place = Path(wanted).resolve()
    for fitting in (
        [own for own in grouped if own.name == wanted],
        [own for own in grouped if all(part.strip() in own.name for part in wanted.split(", "))],
        [own for own in grouped if any(run.folder.resolve() == place for run in (*own.runs, *own.unfinished))],
    ):
        if len(fitting) == 1:
            return fitting[0]
    names = "; ".join(own.name for own in grouped[:8]) + ("; …" if len(grouped) > 8 else "")
    raise ValueError(f"baseline={wanted} must be a run folder, or a part of exactly one of: {names}")


def keep(runs: Sequence[Run], only: Any) -> list[Run]:
    """Return the runs that have the values of the mapping `only`, and those without a readable configuration."""
    if not isinstance(only, Mapping | None):
        raise ValueError(f"only={only} must be keys with their values: 'only={{data.name: kvasir}}'")
    wanted = {key: shown(key, value) for key, value in flat(only or {})}
    check_keys("only", wanted, runs)
    kept = [run for run in runs if not run.config or wanted == {key: shown(key, run.config.get(key)) for key in wanted}]
    if not any(run.config for run in kept):
        raise ValueError(f"only={only}: no run has these values; see config.yaml in the run folders")
    return kept


def check_keys(argument: str, keys: Iterable[str], runs: Sequence[Run]) -> None:
    """Raise a ValueError if no run has one of the keys, or a key below it."""
    known = {key for run in runs for key in run.config}
    for key in keys:
        if not any(is_under(other, [key]) for other in known):
            raise ValueError(f"{argument}: no run has the key {key}{nearest([key], known)}; give keys of config.yaml")


def check_same_data(runs: Sequence[Run]) -> None:
    """Raise a ValueError unless all runs were evaluated on the same images.

    The data root may differ between machines. The name of the data set, the ids, and the sizes of lesions (where the
    evaluation has them) must be the same.
    """
    fix = "give runs of one data set, or 'only={data.name: …}', and report each data set by itself"
    for other in runs[1:]:
        first = runs[0]
        assert first.evaluated is not None and other.evaluated is not None
        for key in ("data.name", "data.channels", "data.classes"):
            if (mine := first.config.get(key)) != (theirs := other.config.get(key)):
                raise ValueError(f"{other.folder}: {key} is {theirs}, but {mine} in {first.folder}; {fix}")
        places = [f"{run.folder} (data.root={run.config.get('data.root')})" for run in (other, first)]
        roots = " and ".join(places)
        if unshared := sorted(first.evaluated.scores.keys() ^ other.evaluated.scores.keys()):
            few = first_few(unshared, 3)
            if str(other.config.get("data.fold")).startswith(_EACH):
                fix = "finish the same folds of each: start the sweep again, with its hydra.sweep.dir"
            raise ValueError(f"{roots}: {len(unshared)} images were evaluated in only one of them ({few}); {fix}")
        if any(is_under(key, MOVING) and first.config.get(key) != value for key, value in other.config.items()):
            continue
        if moved := first.evaluated.other_masks(other.evaluated):
            raise ValueError(f"{roots}: {len(moved)} images have different masks ({first_few(moved, 3)}); {fix}")


def run_rows(report: Study) -> list[dict[str, Any]]:
    """Return what the tables tell of each run, of whatever status."""
    names = {run.folder: own.name for own in report.configurations for run in (*own.runs, *own.unfinished)}
    rows = []
    for run in report.runs:
        row = {"folder": run.folder, "configuration": names.get(run.folder, ""), "status": run.status}
        row |= {"seed": "" if run.seed is None else run.seed, "score": run.evaluated.mean if run.evaluated else ""}
        row |= {"steps": "", "seconds": "", **run.training, "note": run.note, "torch": "", **_versions(run)}
        row |= {"commit": _git(run, "commit")[:8], "state": _git(run, "state")}
        rows.append(row | {"command": str(run.provenance.get("command", ""))})
    return rows


def write_runs(path: Path, report: Study) -> None:
    """Write a row for each run, with the keys in which configurations differ."""
    keys = list(report.configurations[0].values)
    values = {run.folder: own.values for own in report.configurations for run in (*own.runs, *own.unfinished)}
    facts = ("folder", "configuration", "status", "seed", "score", "steps", "seconds", "note")
    table = []
    for row in run_rows(report):
        score, own = row["score"], values.get(row["folder"])
        row["score"] = score if score == "" else f"{score:.6f}"
        table.append([*(row[name] for name in facts), *(shown(key, own[key]) if own else "" for key in keys)])
    header = [report.comparison.column if name == "score" else name for name in facts]
    write_csv(path, [*header, *keys], table)


def version_rows(report: Study) -> dict[str, dict[str, int]]:
    """Return the versions of each package and the machines, with the number of runs of each."""
    counts: dict[str, dict[str, int]] = {}
    for (package, version), count in sorted(Counter(p for run in report.runs for p in _versions(run).items()).items()):
        counts.setdefault(package, {})[version] = count
    return counts


def _versions(run: Run) -> dict[str, str]:
    versions = run.provenance.get("versions")
    known = {name: run.provenance.get(name, "") for name in ("python", "platform")}
    return {str(key): str(value) for key, value in (*_mapping(versions).items(), *known.items())}


def warnings(report: Study) -> list[str]:
    """Return a sentence on each fact that weakens the figures of the table."""
    lines, lone, mixed, every = [], [], [], []
    for own in report.configurations:
        seeds = [run.seed for run in pooled(own.runs)]
        changes = [" (changed)" if _git(run, "state") == "changed" else "" for run in own.runs]
        commits = [f"{_git(run, 'commit')[:8] or 'unknown'}{each}" for run, each in zip(own.runs, changes, strict=True)]
        every += commits
        if str(fold := own.runs[0].config.get("data.fold")).startswith(_EACH):
            number = int(str(fold).removeprefix(_EACH))
            if len(own.runs) < number * len(seeds):
                lines.append(f"{own.name}: {len(own.runs)} of {number * len(seeds)} folds are finished.")
        if repeated := sorted({str(seed) for seed in seeds if seeds.count(seed) > 1}):
            lines.append(f"{own.name}: more than one run has seed {first_few(repeated)}; each counts.")
        if len(set(commits)) > 1:
            mixed.append(f"{own.name} ({first_few(sorted(set(commits)))})")
        if len(seeds) == 1:
            lone.append(own.name)
    if mixed:
        lines.append(f"Different code within one configuration: {first_few(mixed, _LISTED)}.")
    if len(set(every)) > 1:
        lines.append(f"The runs have {len(set(every))} different states of the code; report.html lists them.")
    if changed := sum(text.endswith("(changed)") for text in every):
        lines.append(
            f"{changed} of {len(every)} runs had changes that are not committed (changes.diff in the run folder)."
        )
    if lone and len(report.configurations) > 1:
        lines.append(f"One seed only, so that the spread over seeds is unknown: {first_few(lone, _LISTED)}.")
    return lines + _of_seeds(report)


def _of_seeds(report: Study) -> list[str]:
    """Return a sentence on the differences that may be those of seeds."""
    lines, (first, *others) = [], report.comparison.rows
    seeds = {own.name: {str(run.seed) for run in own.runs} for own in report.configurations}
    if unlike := [row.name for row in others if seeds[row.name] != seeds[first.name]]:
        few = first_few(unlike, _LISTED)
        lines.append(f"Other seeds than those of the baseline, which may be a part of the difference: {few}.")
    shown = [row for row in others if row.verdict in ("better", "worse")]
    if small := [row.name for row in shown if abs(row.difference or 0) <= max(row.std or 0, first.std or 0)]:
        few = first_few(small, _LISTED)
        lines.append(f"Differences within the standard deviation over seeds, of networks rather than methods: {few}.")
    return lines


def _git(run: Run, key: str) -> str:
    return str(_mapping(run.provenance.get("git")).get(key, ""))


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
