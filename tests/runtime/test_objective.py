"""The value of a run and the record of its end."""

import json
from pathlib import Path
from typing import Any

import pytest

from fovea.runtime.objective import (
    FILE,
    Outcome,
    check_objective,
    mean_of,
    parts,
    read_outcome,
    value_of,
    write_outcome,
)

OBJECTIVE = {"score": "dice", "split": "val", "seeds": None, "folds": None}


def test_one_part_per_fold_and_seed() -> None:
    runs = parts({"objective": OBJECTIVE | {"seeds": [3, 0], "folds": 2}})
    assert [run.folder for run in runs] == ["fold_0/seed_3", "fold_0/seed_0", "fold_1/seed_3", "fold_1/seed_0"]
    assert runs[2].keys == {"data.fold": [1, 2], "seed": 3}
    assert [run.folder for run in parts({"objective": OBJECTIVE | {"seeds": [7]}})] == ["seed_7"]
    assert parts({"objective": OBJECTIVE}) == parts({}) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("seeds", value) for value in ([1, 1], 3, [], [-1], [True])),
        *(("folds", 1), ("folds", "5"), ("split", "test"), ("score", "f1")),
    ],
)
def test_invalid_objective_is_refused(key: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"^objective\.{key}(\[0\])? must be .*, got"):
        check_objective(OBJECTIVE | {key: value})


def test_keys_that_each_part_sets_are_refused() -> None:
    seeds, folds, fold = {"objective": OBJECTIVE | {"seeds": [3]}}, {"objective": OBJECTIVE | {"folds": 2}}, [0, 3]
    with pytest.raises(ValueError, match="sets seed, so seed=1 would have no effect; remove one of them"):
        parts(seeds, ["data=kvasir", "seed=1"])
    with pytest.raises(ValueError, match=r"sets data\.fold, so \[0, 3\] would have no effect; set one of them to null"):
        parts(folds | {"data": {"fold": fold}})  # also if a YAML sets it
    assert parts(seeds | {"data": {"fold": fold}}) and parts(folds | {"data": {"fold": None}}, ["seed=1"])


def test_outcome_belongs_to_its_configuration(tmp_path: Path) -> None:
    def config(folder: Path, **keys: Any) -> dict[str, Any]:
        best = {"dirpath": f"{folder}/checkpoints"}
        return {"ckpt_path": "auto", "run_dir": str(folder), "best": best, "lr": 0.1} | keys

    first, moved = tmp_path / "first", tmp_path / "moved"
    write_outcome(config(first), Outcome(0.25, "abc"))
    assert read_outcome(config(first)) == Outcome(0.25, "abc")
    assert read_outcome(config(first, lr=0.2)) is None
    assert read_outcome(config(first, ckpt_path=None)) is None
    first.rename(moved)
    assert read_outcome(config(moved)) == Outcome(0.25, "abc")
    (moved / FILE).write_text("{")
    assert read_outcome(config(moved)) is None


def test_the_value_is_the_mean_on_the_split_and_over_parts(tmp_path: Path) -> None:
    summaries = {"val": {"dice": {"mean": 0.5}}, "test": {"dice": {"mean": 0.9}}}
    assert value_of(OBJECTIVE, summaries) == 0.5
    assert value_of(OBJECTIVE | {"split": "train"}, summaries) is None
    assert mean_of(tmp_path, {"seed_0": 0.2, "seed_1": 0.6}) == pytest.approx(0.4)
    written = json.loads((tmp_path / FILE).read_text())
    assert written["parts"] == {"seed_0": 0.2, "seed_1": 0.6} and written["std"] == pytest.approx(0.08**0.5)
    assert mean_of(tmp_path, {"seed_0": 0.2, "seed_1": None}) is None
