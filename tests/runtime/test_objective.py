"""What a run returns to a sweep, and what tells that it has ended."""

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


def test_a_job_has_a_part_for_each_fold_and_seed() -> None:
    found = parts({"seeds": [3, 0], "folds": 2})
    assert [part.folder for part in found] == ["fold_0/seed_3", "fold_0/seed_0", "fold_1/seed_3", "fold_1/seed_0"]
    assert found[2].keys == {"data.fold": [1, 2], "seed": 3}
    assert [part.folder for part in parts({"seeds": [7], "folds": None})] == ["seed_7"]
    assert parts({"seeds": None, "folds": None}) == parts(None) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [("seeds", [1, 1]), ("seeds", 3), ("seeds", []), ("seeds", [-1]), ("seeds", [True]), ("folds", 1), ("folds", "5")],
)
def test_parts_without_sense_are_refused(key: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"objective\.{key}="):
        parts({"seeds": None, "folds": None} | {key: value})


def test_test_images_choose_nothing() -> None:
    check_objective({"score": "hd95", "split": "val"})
    with pytest.raises(ValueError, match=r"objective\.split=test .* choose val"):
        check_objective({"score": "dice", "split": "test"})
    with pytest.raises(ValueError, match=r"objective\.score=f1"):
        check_objective({"score": "f1", "split": "val"})


def test_the_value_is_the_mean_of_the_score_of_that_split() -> None:
    summaries = {"val": {"dice": {"mean": 0.5}}, "test": {"dice": {"mean": 0.9}}}
    assert value_of({"score": "dice", "split": "val"}, summaries) == 0.5
    assert value_of({"score": "dice", "split": "train"}, summaries) is None


def test_an_outcome_counts_for_its_own_configuration_wherever_the_folder_is(tmp_path: Path) -> None:
    def config(folder: Path, **keys: Any) -> dict[str, Any]:
        return {
            "ckpt_path": "auto",
            "run_dir": str(folder),
            "best": {"dirpath": f"{folder}/checkpoints"},
            "lr": 0.1,
        } | keys

    first, moved = tmp_path / "first", tmp_path / "moved"
    write_outcome(config(first), Outcome(0.25, "abc"))
    assert read_outcome(config(first)) == Outcome(0.25, "abc")
    assert read_outcome(config(first, lr=0.2)) is None
    assert read_outcome(config(first, ckpt_path=None)) is None
    first.rename(moved)
    assert read_outcome(config(moved)) == Outcome(0.25, "abc")
    (moved / FILE).write_text("{")
    assert read_outcome(config(moved)) is None


def test_the_mean_over_parts_is_written_with_its_spread(tmp_path: Path) -> None:
    assert mean_of(tmp_path, {"seed_0": 0.2, "seed_1": 0.6}) == pytest.approx(0.4)
    written = json.loads((tmp_path / FILE).read_text())
    assert written["parts"] == {"seed_0": 0.2, "seed_1": 0.6} and written["std"] == pytest.approx(0.08**0.5)
    assert mean_of(tmp_path, {"seed_0": 0.2, "seed_1": None}) is None
