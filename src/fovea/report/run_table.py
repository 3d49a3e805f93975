"""Where each run of a report comes from: folder, code, versions, machine, command; and what is odd about them."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from fovea.report.runs import FINISHED, Run
from fovea.report.study import Study
from fovea.runtime.errors import first_few


def common_folder(study: Study) -> str:
    """The folder that all runs are in."""
    return os.path.commonpath([run.folder.absolute().parent for run in study.runs])


def run_rows(study: Study, folder: str) -> list[dict[str, Any]]:
    """What the page's tables say of each run, as text but for the numbers to sort by."""
    names = {run.folder: each.name for each in study.configurations for run in each.runs}
    return [_row(run, names.get(run.folder, ""), folder) for run in study.runs]


def _row(run: Run, name: str, folder: str) -> dict[str, Any]:
    git, versions = _mapping(run.provenance.get("git")), _mapping(run.provenance.get("versions"))
    scores = list(run.evaluated.scores.values()) if run.evaluated else []
    seconds = run.training.get("seconds")
    return {
        "folder": os.path.relpath(run.folder, folder),
        "name": name,
        "status": run.status,
        "note": run.note,
        "seed": "" if run.seed is None else run.seed,
        "score": f"{np.mean(scores):.4f}" if scores else "",
        "steps": run.training.get("steps", ""),
        "seconds": f"{seconds:.0f}" if isinstance(seconds, int | float) else "",
        "commit": str(git.get("commit", ""))[:8],
        "state": str(git.get("state", "")),
        "python": str(run.provenance.get("python", "")),
        "torch": str(versions.get("torch", "")),
        "machine": str(run.provenance.get("platform", "")),
        "command": str(run.provenance.get("command", "")),
    }


def version_rows(study: Study) -> list[tuple[str, list[tuple[str, int]]]]:
    """For each package, and for the machine, its versions, with the number of runs of each."""
    counts: dict[str, dict[str, int]] = {}
    for run in study.runs:
        versions = dict(_mapping(run.provenance.get("versions")))
        versions |= {name: run.provenance[name] for name in ("python", "platform") if name in run.provenance}
        for package, version in versions.items():
            own = counts.setdefault(str(package), {})
            own[str(version)] = own.get(str(version), 0) + 1
    return [(package, sorted(own.items())) for package, own in sorted(counts.items())]


def warnings(study: Study) -> list[str]:
    """What may make the figures of the table say less than they seem to, a sentence each."""
    found = []
    lone, mixed = [], []
    for each in study.configurations:
        runs = [run for run in each.runs if run.status == FINISHED]
        seeds = [run.seed for run in runs]
        if twice := sorted({str(seed) for seed in seeds if seeds.count(seed) > 1}):
            found.append(f"{each.name}: seed {first_few(twice)} is there more than once, and counts each time.")
        if len(commits := sorted({_commit(run) for run in runs})) > 1:
            mixed.append(f"{each.name} ({first_few(commits)})")
        lone += [each.name] if len(runs) == 1 else []
    every = [_commit(run) for each in study.configurations for run in each.runs if run.status == FINISHED]
    if mixed:
        found.append(f"Of different code within one configuration: {'; '.join(mixed[:6])}{' …' * (len(mixed) > 6)}.")
    if len(set(every)) > 1:
        found.append(f"The runs are of {len(set(every))} states of the code: see where they come from, below.")
    if changed := sum(text.endswith("(changed)") for text in every):
        of = f"{changed} of {len(every)} runs"
        found.append(f"Of a checkout that differed from its commit (changes.diff in the run folder): {of}.")
    if lone and len(study.configurations) > 1:
        found.append(
            f"Of one seed, so that the spread over seeds is not known: {'; '.join(lone[:6])}{' …' * (len(lone) > 6)}."
        )
    return found


def _commit(run: Run) -> str:
    git = _mapping(run.provenance.get("git"))
    state = " (changed)" if git.get("state") == "changed" else ""
    return f"{str(git.get('commit', 'unknown'))[:8]}{state}"


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
